#pragma once

#include "mail/spool_entry.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The folders and files of a spool. Everything blocks and throws error, which names the file.
namespace trawl::smtp::detail {

/// A message whose file is open and locked.
class entry_file {
public:
    explicit entry_file(int descriptor) noexcept : descriptor_(descriptor) {}
    entry_file(entry_file const&) = delete;
    entry_file& operator=(entry_file const&) = delete;
    ~entry_file();

    /// Adds lines, which are on disk when it returns. From any thread.
    void append(std::string_view lines);
    /// The file's time tells when the message is due, so that nobody has to read it before. One that
    /// cannot be set costs no more than that.
    void set_due(std::int64_t when) noexcept;

    int descriptor() const noexcept { return descriptor_; }
    std::string name, path;
    spooled entry;

private:
    int descriptor_;
    std::mutex appending_; ///< the answers of one domain and the beginning of another may meet
};

class spool_folder {
public:
    /// Makes what is missing, for the owner only.
    explicit spool_folder(std::filesystem::path where);

    /// Writes a new message and returns its name; nobody can open it before it is safe on disk, and
    /// when this throws it is not kept.
    std::string add(spooled const& one) const;

    enum class state { open, absent, busy, corrupt };
    /// Opens and reads a message; one that is none of ours is moved to corrupt/, and `why` says
    /// what is wrong with it.
    state open(std::string const& name, std::unique_ptr<entry_file>& into, std::string& why) const;

    /// Ends a message: removes it, or moves it to failed/.
    void finish(entry_file const& one, bool failed) const;

    /// The messages that are due at `now`, the oldest first.
    std::vector<std::string> due(std::int64_t now) const;
    std::size_t size() const;
    /// Removes what writers that died left in tmp/.
    void sweep(std::int64_t now) const;

private:
    void set_aside(std::string const& name) const;
    std::filesystem::path where_;
};

} // namespace trawl::smtp::detail
