#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

/// Embedded hosts on loopback for trying, testing and measuring: SSH servers and an SMTP sink in
/// the caller's own process and io_context. Not part of libtrawl; never reachable from another
/// machine.
namespace trawl::lab {

enum class errc {
    not_loopback = 1, ///< an address outside 127.0.0.0/8 and ::1
    keys,             ///< a key could not be made or written
    no_port,          ///< no port is free on all addresses
};
/// Category "trawl.lab".
std::error_category const& lab_category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// How one host misbehaves.
enum class fault {
    none,
    refuse, ///< nothing listens: connection refused
    hang,   ///< accepts and never says a word
    die,    ///< drops the connection (RST) as soon as a command has begun to answer
};

/// The answer to one command line, instead of running it.
struct canned_answer {
    std::string out = {}, err = {};
    int exit_status = 0; ///< 0 to 255
};

struct options {
    std::vector<asio::ip::address> hosts; ///< loopback only; empty: 127.7.0.1 to 127.7.0.10
    std::uint16_t ssh_port = 0;           ///< the same on every host; 0: one that is free on all
    std::uint16_t smtp_port = 0;          ///< 0: a free one
    asio::ip::address smtp_address = asio::ip::address_v4::loopback();
    std::filesystem::path
        dir; ///< for keys, password, known_hosts and mail; made (0700); empty: fresh temporary one
    bool keep_dir = false; ///< leave a temporary directory behind when it holds mail
    std::string user;      ///< the one user who may log in; empty: the name of the current user
    std::map<std::string, canned_answer>
        canned; ///< by command line; others run under /bin/sh as the current user
    std::map<asio::ip::address, fault> faults;
    duration login_grace =
        std::chrono::seconds(10);      ///< from accept to a successful login, else dropped
    std::string refused = "refused";   ///< recipients that begin so get 550; empty: none
    std::string deferred = "deferred"; ///< recipients that begin so get 451; empty: none
    std::size_t max_message = std::size_t(64) << 20; ///< bytes; larger mail gets 552
    offload_pool* starter =
        nullptr; ///< starts commands; none: a pool of its own. Not owned, outlives the world
    observer* watch = nullptr; ///< not owned, outlives the world
};

/// N SSH hosts and one SMTP server, with fresh keys and a fresh password for each world.
///
/// The constructor makes the keys, listens on every address and writes into dir(): `id_ed25519`
/// (OpenSSH format, 0600), `id_ed25519.pub`, `password` (0600), `known_hosts` (every host has a key
/// of its own) and `Maildir`. Clients may connect from then on and are answered while serve() runs.
/// One executor, and it may be the client's; only
/// the start of a command leaves it, for a pool.
class world {
public:
    /// Throws error: not_loopback, keys, no_port, or what the system said about an address or a
    /// file.
    world(asio::any_io_executor executor, options configuration);
    world(world const&) = delete;
    world& operator=(world const&) = delete;
    /// Removes a temporary directory (see options::keep_dir).
    ~world();

    /// Serves until it is cancelled (then throws operation_aborted): connections are dropped,
    /// commands killed.
    awaitable<> serve();

    std::vector<asio::ip::address> const& hosts() const noexcept; ///< those with a fault included
    std::uint16_t ssh_port() const noexcept;
    asio::ip::address smtp_address() const noexcept;
    std::uint16_t smtp_port() const noexcept;
    std::string const& user() const noexcept;
    std::filesystem::path const& dir() const noexcept;
    std::filesystem::path key_path() const;         ///< dir/id_ed25519
    std::filesystem::path password_path() const;    ///< dir/password: one line
    std::filesystem::path known_hosts_path() const; ///< dir/known_hosts
    std::filesystem::path maildir() const; ///< dir/Maildir; delivered messages are in new/*.eml

    struct statistics {
        std::uint64_t connections = 0; ///< SSH, accepted since the start
        std::uint64_t open = 0;        ///< SSH, now
        std::uint64_t logins = 0;      ///< successful ones
        std::uint64_t commands = 0;
        std::uint64_t messages = 0; ///< stored
    };
    statistics stats() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::lab

template <>
struct std::is_error_code_enum<trawl::lab::errc> : std::true_type {};
