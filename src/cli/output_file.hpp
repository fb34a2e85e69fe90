#pragma once

#include "cli/durable.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace trawl::cli {

/// The file of --output FILE. What is written goes to FILE.partial beside it; FILE appears whole, by
/// commit(), or not at all: a process that is killed, or stopped by Ctrl-C, leaves nothing under the
/// final name. FILE.partial stays then, for --resume or to be looked at; the next run begins it
/// anew.
///
/// Throws error for what the system refuses, usage_error for a FILE that is no ordinary file (a
/// device would be replaced) or whose partial file another process is writing.
class output_file {
public:
    /// Keeps the first `keep` bytes of the partial file of an earlier run. Throws usage_error when
    /// it has fewer.
    explicit output_file(std::filesystem::path file, std::uint64_t keep = 0);

    /// Where results are written to, at its end.
    int number() const noexcept { return out_.get(); }
    /// The partial file's name, for messages.
    std::string const& name() const noexcept { return name_; }
    /// Bytes so far.
    std::uint64_t size() const;
    /// Everything written so far is on the disk when it returns. Blocks.
    void sync() const { cli::sync(number(), name_); }
    /// Moves the file into its place, replacing what is there: fsync, rename, fsync of the folder.
    /// Blocks.
    void commit();

private:
    descriptor open_alone() const;

    std::filesystem::path file_, partial_;
    std::string name_;
    descriptor out_;
};

} // namespace trawl::cli
