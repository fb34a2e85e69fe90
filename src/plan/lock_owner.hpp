#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::plan {

/// Which process has made a lock file, as one line:
///
///     HOST MACHINE BOOT PID STARTED
///
/// MACHINE and BOOT are the kernel's and systemd's ids, "-" where there is none; STARTED the
/// process's start in ticks since the boot, so that a number that was given away again is noticed.
struct lock_owner {
    std::string host, machine, boot;
    std::int64_t pid = 0;
    std::uint64_t started = 0;

    static lock_owner self(); ///< of this process
    static std::optional<lock_owner> parse(std::string_view line);
    std::string text() const;

    /// True when it was a process of this machine that is no more. Of another machine nobody can
    /// tell from here.
    bool is_gone() const;
    std::string words() const; ///< for a message
};

} // namespace trawl::plan
