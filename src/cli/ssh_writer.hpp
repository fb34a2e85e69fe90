#pragma once

#include <trawl/ssh.hpp>
#include <trawl/targets.hpp>

#include <asio/ip/address.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace trawl::cli {

class environment;

/// What became of one host of `trawl ssh`.
struct ssh_answer {
    targets::target target;
    std::optional<asio::ip::address> address{}; ///< that answered, or the only one it has
    std::optional<ssh::failure> failed{};
    std::optional<ssh::completed> done{}; ///< without output where lines() has shown it
    duration elapsed{};
    unsigned attempts = 1; ///< connections tried

    /// Reached, and the command's status is 0.
    bool good() const noexcept { return !failed && done->exit_status == 0; }
};

/// What a run was as a whole; targets without an answer are unfinished.
struct ssh_totals {
    std::uint64_t targets = 0, ok = 0, failed = 0;
    std::uint64_t nonzero = 0; ///< of those that are ok
    duration elapsed{};
    int exit_code = 0;
    bool interrupted = false;
    bool gave_up = false; ///< --max-failures was reached

    std::uint64_t unfinished() const noexcept { return targets - ok - failed; }
};

/// How many hosts ended how, to stderr: after Ctrl-C, or with -v.
void tell_totals(environment& here, ssh_totals const& totals);

/// Turns the answers of a run into what the user reads.
class ssh_writer {
public:
    virtual ~ssh_writer() = default;

    /// True: output goes to lines() as it comes and nothing of it is kept.
    virtual bool live() const { return false; }
    /// Whole lines with their newlines.
    virtual void lines(targets::target const&, ssh::output_stream, std::string_view) {}
    virtual void host(ssh_answer answer) = 0;
    virtual void finish(ssh_totals const& totals);

protected:
    explicit ssh_writer(environment& here) : here_(here) {}
    environment& here_;
};

/// Each host's output under its name, when it has ended.
std::unique_ptr<ssh_writer> make_ssh_text(environment& here, std::size_t max_output);
/// Each line as it comes, behind its host's name: stdout to stdout, stderr to stderr.
std::unique_ptr<ssh_writer> make_ssh_stream(environment& here);
/// Equal answers once, with the hosts that gave them, at the end.
std::unique_ptr<ssh_writer> make_ssh_group(environment& here);
/// A record for each host; `live`: and one for each line.
std::unique_ptr<ssh_writer> make_ssh_json(environment& here, bool live);

} // namespace trawl::cli
