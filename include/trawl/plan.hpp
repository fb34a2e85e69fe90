#pragma once

#include <trawl/async.hpp>
#include <trawl/backup.hpp>
#include <trawl/mime.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/plan_sftp_store.hpp>
#include <trawl/smtp.hpp>
#include <trawl/ssh.hpp>
#include <trawl/targets.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The main job: sweep, run commands on every host that answers, back up meanwhile, mail one
/// report.
namespace trawl::plan {

/// Conditions of category "trawl.plan".
enum class errc {
    bad_plan = 1, ///< a PLAN.toml that cannot be read: syntax, an unknown key, a value out of range
    password_command, ///< the password command failed or wrote nothing
};
/// Category "trawl.plan" of errc.
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// [sweep]
struct sweep_section {
    trawl::targets::list targets;            ///< addresses and names, excludes applied
    std::chrono::milliseconds timeout{1000}; ///< for each echo
    unsigned retries = 1;                    ///< further echoes to a silent target
    double rate = 0;                         ///< echoes a second; 0: as fast as answers can be read
};

/// [ssh], for every address that is up.
struct ssh_section {
    std::string user;                    ///< empty: the name of the current user
    std::uint16_t port = 22;             ///< of all hosts: targets of a sweep take none
    std::filesystem::path identity;      ///< private key file; empty: none
    std::filesystem::path password_file; ///< its first line; empty: none
    std::string password_command;        ///< its first line of output; empty: none
    /// what to do with a key that is not on record
    ssh::host_key_policy host_key = ssh::host_key_policy::strict;
    std::filesystem::path known_hosts;         ///< empty: ~/.ssh/known_hosts
    std::vector<std::string> commands;         ///< run one after the other in one session
    std::size_t jobs = 64;                     ///< sessions at a time
    std::chrono::milliseconds timeout{10'000}; ///< for each phase of a session and for each command
    std::size_t max_output = 64 * 1024;        ///< bytes kept of each stream of a command
};

/// [[backup]]
struct backup_section : backup::options {
    std::filesystem::path encrypt;    ///< file of a backup::store_key; empty: readable by all
    std::optional<sftp_place> server; ///< the destination, when it is no folder
    ssh_section login; ///< to that: identity, password, host_key, known_hosts and timeout; what
                       ///< [ssh] says, when none of them is there
};

/// [mail]
struct mail_section {
    std::string host = "127.0.0.1";      ///< name or address of the server
    std::uint16_t port = 25;             ///< of the server
    std::optional<smtp::tls> tls;        ///< absent: none for a loopback address, else required
    std::filesystem::path ca_file;       ///< PEM; empty: the system's authorities
    std::string user;                    ///< empty: no AUTH
    std::filesystem::path password_file; ///< its first line; empty: none
    /// The mailbox of the author, and the subject.
    std::string from, subject = "trawl run";
    std::vector<std::string> to; ///< mailboxes
};

/// What PLAN.toml says.
struct job {
    /// Absent: nothing is swept, and no host is logged in to.
    std::optional<sweep_section> sweep;
    std::optional<ssh_section> ssh;      ///< absent: no commands
    std::vector<backup_section> backups; ///< made one after the other, beside the sweep
    std::optional<mail_section> mail;    ///< absent: no report is mailed
};

/// Reads a plan. Relative paths are taken from `folder`. Throws error(errc::bad_plan) that names
/// `origin`, line and column; a bad target throws as targets::list::add does.
job parse(std::string_view toml, std::string const& origin, std::filesystem::path const& folder);
/// Reads a file (blocks); relative paths in it are taken from its folder.
job load(std::filesystem::path const& file);

/// What became of one target. Each target of the sweep ends in exactly one.
enum class status { ok, failed, down, unreachable, unknown };
/// "ok", "failed", "down", "unreachable", "unknown".
std::string_view to_string(status s) noexcept;

/// One command on one host.
struct command_result {
    std::string command; ///< as the plan has it
    ssh::completed end;  ///< how it ended
};

/// All that is known of one target.
struct host_result {
    std::string target;  ///< as it was listed
    std::string address; ///< empty when the name could not be resolved
    /// Ok: the commands have ended, whatever their exit status.
    plan::status status = plan::status::unknown;
    std::optional<duration> rtt;          ///< of the ping; absent when it did not answer
    std::vector<command_result> commands; ///< those that ended, in order
    /// Of a failed host; empty otherwise.
    std::string error_code, error_phase, error;
    duration elapsed{}; ///< of its session
};

/// Receives the results as they come, on the runner's executor.
class listener {
public:
    virtual ~listener() = default;
    /// A target has its result; the reference is good for the call.
    virtual void host(host_result const& result) { (void)result; }
    /// A backup was made; its own errors are in the report.
    virtual void archive(std::string const& name, backup::report const& made) {
        (void)name, (void)made;
    }
    /// A backup that could not be made at all.
    virtual void archive_failed(std::string const& name, std::string const& why) {
        (void)name, (void)why;
    }
    /// The report went out, with an answer for each recipient.
    virtual void mailed(smtp::receipt const& sent) { (void)sent; }
};

/// Counts of a run.
struct summary {
    std::uint64_t targets = 0; ///< of the sweep
    /// Targets by status: add up to `targets`.
    std::uint64_t ok = 0, failed = 0, down = 0, unreachable = 0, unknown = 0;
    /// Commands that ended; failed: a status other than 0, or a signal.
    std::uint64_t commands = 0, commands_failed = 0;
    /// Backups that were made; those of them with errors; those that could not be made.
    std::uint64_t archives = 0, archives_incomplete = 0, archives_failed = 0;
    /// Recipients of the report.
    std::uint64_t mails_accepted = 0, mails_failed = 0;
    duration elapsed{}; ///< of the whole run, so far
};

/// Carries out one job on the caller's io_context; at most jobs sessions, one backup and one
/// dialogue at a time, results handed on as they come. Memory does not grow with the number of
/// targets; the report that is mailed keeps at most 1,000 hosts that need attention and 8 MiB of
/// results.
class runner {
public:
    /// What a runner works with.
    struct services {
        offload_pool& cpu;         ///< backups
        offload_pool& blocking;    ///< keys, known_hosts, password files
        listener& results;         ///< gets them as they come
        observer* watch = nullptr; ///< not owned
    };

    /// Everything in `with` outlives the runner.
    runner(job what, services with);
    runner(runner const&) = delete;
    runner& operator=(runner const&) = delete;
    ~runner();

    /// Runs the job once. Throws for what makes it impossible (no permission to ping, a key file
    /// that cannot be read) and before anything was sent; a host, a backup or the mail that fails
    /// is a result. Cancelling ends sessions and backups as their own documentation says, mails
    /// nothing, and leaves totals() with every target that has no result yet counted as unknown.
    awaitable<> run();

    /// The counts of this moment, also while it runs and when it was cancelled.
    summary totals() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::plan

template <>
struct std::is_error_code_enum<trawl::plan::errc> : std::true_type {};
