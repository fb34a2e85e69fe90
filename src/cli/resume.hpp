#pragma once

#include "cli/portion.hpp"

#include <trawl/icmp.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace trawl::cli {

/// The positions of a sweep that are done. Results come in the order of the answers, so these are
/// runs: the first, from 0, ends at the low-water mark; the others lie within what is outstanding,
/// which bounds their number.
class done_set {
public:
    /// False when the position was in it before.
    bool add(std::uint64_t position) { return add_run(position, position); }
    /// Adds first..last; false, and adds nothing, when one of them was in it before.
    bool add_run(std::uint64_t first, std::uint64_t last);
    bool contains(std::uint64_t position) const;
    /// The least position that is not done.
    std::uint64_t low_water() const;
    std::uint64_t size() const noexcept { return size_; }
    /// first -> last, ascending, none touching the next.
    std::map<std::uint64_t, std::uint64_t> const& runs() const noexcept { return runs_; }

private:
    std::map<std::uint64_t, std::uint64_t> runs_;
    std::uint64_t size_ = 0;
};

/// The file of --resume FILE: how far a sweep of one list, seed and shard has come. One line of
/// JSON, replaced as a whole:
///
///     {"v":1,"type":"progress","verb":"ping","shard":{...},"seed":...,"list":"...",
///      "targets":1024,"up":3,"down":98,"unreachable":0,"unknown":0,
///      "bytes":5120,"done":[[0,99],[105,105]]}
///
/// `bytes` is the size that the output file had, null when results went to stdout. A run that goes
/// on cuts the output file to it, so every target is in there once, even after kill -9. What had
/// gone to stdout after the last save comes once more after kill -9; after Ctrl-C nothing does.
///
/// Errors are usage_error (the file belongs to another sweep, or is no such file) and error (what
/// the system refuses); each names the file.
class progress_file {
public:
    using counts = std::array<std::uint64_t, 4>; ///< by icmp::status

    /// Loads `file` when it is there. `targets`: how many this shard has. `to_file`: whether
    /// results go to an output file.
    progress_file(std::filesystem::path file, portion const& of, std::uint64_t targets,
                  bool to_file);

    done_set const& done() const noexcept { return done_; }
    counts const& by_status() const noexcept { return counts_; }
    std::uint64_t output_bytes() const noexcept { return bytes_; }
    bool complete() const noexcept { return done_.size() == targets_; }

    /// The result of `position` has been written. False when it had been before: then it should not
    /// have been.
    bool note(std::uint64_t position, icmp::status status);

    /// True when something is new and the last save was begun longer ago than `interval`.
    bool due(time_point now, duration interval = std::chrono::seconds(5)) const noexcept;
    /// A job that replaces the file by the state of this moment, in which the output file has
    /// `output_bytes`; it refers to nothing of this object, so it may run on another thread, and
    /// does all that takes long. Sync the output file before it.
    std::function<void()> saving(std::uint64_t output_bytes, time_point now);

    /// Removes the file: the sweep is complete.
    void remove() const;

private:
    void load(std::string const& text);
    json::record header(std::uint64_t output_bytes) const;
    [[noreturn]] void refuse(std::string const& why) const;

    std::filesystem::path file_;
    portion of_;
    std::uint64_t targets_;
    bool to_file_;
    done_set done_;
    counts counts_{};
    std::uint64_t bytes_ = 0;
    bool changed_ = false;
    time_point saved_{};
};

} // namespace trawl::cli
