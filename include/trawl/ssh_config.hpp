#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::ssh {

/// What the configuration says about one host (ssh_config(5)). Absent: it says nothing.
struct host_config {
    std::optional<std::string> host_name{};    ///< %h is filled in
    std::optional<std::string> user{};         ///< to log in as
    std::optional<std::uint16_t> port{};       ///< 1 to 65535
    std::vector<std::string> identity_files{}; ///< in order; ~ and % tokens are filled in
    /// Only identity_files, and no other key of the agent.
    std::optional<bool> identities_only{};
    std::optional<std::string> proxy_jump{};                     ///< as written; "none" says: none
    std::optional<std::vector<std::string>> known_hosts_files{}; ///< UserKnownHostsFile, filled in
    std::optional<std::string> strict_host_key_checking{};       ///< yes, no, ask, accept-new
    /// For the TCP connection.
    std::optional<std::chrono::seconds> connect_timeout{};
    /// Between two signs of life; zero: none.
    std::optional<std::chrono::seconds> server_alive_interval{};
    /// How many of them may stay without an answer.
    std::optional<unsigned> server_alive_count_max{};
    /// As written: with + - ^ in front where it is so.
    std::optional<std::string> ciphers{}, kex_algorithms{}, macs{}, host_key_algorithms{};
    std::optional<std::uint64_t> rekey_bytes{};       ///< of RekeyLimit; zero: the default
    std::optional<std::chrono::seconds> rekey_time{}; ///< zero: none
};

/// One host to go through (ProxyJump, ssh -J).
struct jump_host {
    std::string host;                    ///< name or address
    std::optional<std::string> user{};   ///< to log in as
    std::optional<std::uint16_t> port{}; ///< 1 to 65535
};

/// "[user@]host[:port],..." or "ssh://[user@]host[:port],...", the first to connect to first; an
/// IPv6 address with a port stands in brackets. Empty for "none"; nullopt for anything else.
std::optional<std::vector<jump_host>> parse_jump(std::string_view text);

/// OpenSSH client configuration files: Host and Match blocks, Include, and the keywords of
/// host_config; the first value of a keyword counts. Takes texts, reads nothing itself
/// (load_config() does). What it does not support is collected in problems(), each once.
///
/// Of Match the criteria all, host, originalhost, user and localuser are supported, with `!`; a
/// block with another one never applies.
class config {
public:
    /// Who runs the client.
    struct local {
        /// His name (%u) and his folder (%d, ~).
        std::string user{}, home{};
    };
    /// A line that means nothing here.
    struct problem {
        std::string where; ///< "FILE:LINE"
        std::string text;  ///< why
    };
    /// A file that somebody has read.
    struct file {
        /// Its name, for problems(), and its content.
        std::string name, text;
    };
    /// The files that an Include's pattern names, in order; none when there is none. It gets the
    /// pattern with ~ filled in.
    using includes = std::function<std::vector<file>(std::string const& pattern)>;

    /// Without a file: it says nothing of any host.
    explicit config(local here);

    /// Adds a file behind those before. Throws nothing for what it cannot read.
    void parse(file const& one, includes const& find);

    /// What applies to a host that the user calls `host`; `user`: as whom to log in, if he says so.
    host_config lookup(std::string_view host, std::optional<std::string> user = {}) const;

    /// What could not be understood so far, each once.
    std::vector<problem> const& problems() const noexcept { return problems_; }

private:
    enum class kind { host, match, set, enter, leave };
    struct statement {
        kind what;
        std::string keyword{};
        std::vector<std::string> words{};
    };
    class reading;

    void read_line(std::string_view line, std::string const& where, includes const& find,
                   std::size_t depth);
    void read_file(file const& one, includes const& find, std::size_t depth);
    void include(std::vector<std::string> const& patterns, std::string const& where,
                 includes const& find, std::size_t depth);
    void complain(std::string const& where, std::string text);

    local here_;
    std::vector<statement> statements_;
    std::vector<problem> problems_;
    std::set<std::string> told_;
};

/// Reads files and what they include; a relative Include is one of ~/.ssh. A file that does not
/// exist is empty. `before` are lines in front of them ("Port 2222", ssh -o). Blocks. Throws error
/// when a file cannot be read.
config load_config(std::vector<std::filesystem::path> const& files, config::local here,
                   std::vector<std::string> const& before = {});

} // namespace trawl::ssh
