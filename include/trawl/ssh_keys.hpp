#pragma once

#include <trawl/async.hpp>
#include <trawl/net.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The keys of users and hosts. errc is that of ssh.hpp.
namespace trawl::ssh {

using net::secret;

/// A private key in memory; copies share it. Any number of sessions of one thread may use it at
/// once.
class private_key {
public:
    private_key() = default; ///< none
    /// Whether there is a key.
    explicit operator bool() const noexcept { return state_ != nullptr; }
    std::string type() const;        ///< "ssh-ed25519"
    std::string fingerprint() const; ///< "SHA256:..." of the public half

private:
    struct state;
    friend struct key_access;
    friend private_key load_private_key(std::filesystem::path const&, net::secret const&);
    friend private_key with_certificate(private_key const&, std::filesystem::path const&);
    std::shared_ptr<state const> state_;
};

/// Reads a private key file (OpenSSH or PEM format). Blocks, 250 ms for an encrypted key (bcrypt):
/// meant for offload_pool, once for all sessions. Throws error with errc::bad_key,
/// errc::bad_passphrase or the system's code.
private_key load_private_key(std::filesystem::path const& file,
                             net::secret const& passphrase = net::secret());

/// The key with a certificate (ssh-keygen -s, the file id_x-cert.pub), which the server is then
/// shown instead of the bare key. Blocks while it reads. Throws error with errc::bad_certificate or
/// the system's code.
private_key with_certificate(private_key const& key, std::filesystem::path const& file);

/// A host's public key as the protocol carries it.
struct host_key {
    std::string type; ///< "ssh-ed25519"
    std::string blob; ///< RFC 4253 §6.6, binary
    std::string
    fingerprint() const; ///< "SHA256:" and base64 without padding, as ssh-keygen -l prints it
};

/// What to do with a host whose key is not on record. A key that differs from the one on record
/// always fails.
enum class host_key_policy {
    strict,     ///< refuse
    accept_new, ///< accept and remember (OpenSSH's accept-new)
    warn,       ///< accept with a line to the observer, remember nothing
    auto_add,   ///< accept and remember, as paramiko's AutoAddPolicy
};

/// The index of one known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): plain, wildcard,
/// negated and hashed names, [host]:port, @revoked. An @cert-authority vouches for nobody, because
/// libssh never asks a host for its certificate; answers name it. Read once; share it among the
/// sessions of a run, so that all agree on a host met for the first time. One executor.
class host_keys {
public:
    /// Which file, and who is told.
    struct options {
        std::filesystem::path file{}; ///< empty: nothing is read, new keys are kept in memory only
        offload_pool* blocking =
            nullptr; ///< appends run there; without it on the caller's thread. Not owned
        observer* log = nullptr; ///< lines that could not be read. Not owned
    };
    /// What the record says of a key.
    enum class verdict {
        match,   ///< this key is on record
        unknown, ///< no key on record
        changed, ///< a different key, or only keys of other types, on record
        revoked, ///< marked @revoked: never accept it
    };
    /// A verdict with its grounds.
    struct answer {
        /// What the record says.
        host_keys::verdict verdict = host_keys::verdict::unknown;
        std::string place; ///< "FILE:LINE" of the entry that decided; empty when unknown
        std::optional<host_key> on_record; ///< changed: the key that was expected
        std::string authority; ///< unknown: "FILE:LINE" of an @cert-authority for the host, if any
    };

    /// An empty index without a file.
    host_keys();
    /// Reads the file; a missing one is empty. Blocks: for a large file construct it on an
    /// offload_pool. Throws error(errc::bad_known_hosts) when it exists and cannot be read.
    explicit host_keys(options configuration);
    host_keys(host_keys const&) = delete;
    host_keys& operator=(host_keys const&) = delete;
    ~host_keys();

    /// Replaces options.log, for an index that was read on another thread.
    void log_to(observer* log) noexcept;

    /// Adds the lines of `text`; `origin` stands for the file's name in answers.
    void parse(std::string_view text, std::string_view origin);

    /// Does the work of check() and types() for a host in slices that leave the loop free (a hashed
    /// line costs an HMAC: 10,000 of them some milliseconds). Afterwards both answer from a cache.
    awaitable<> prepare(std::string host, std::uint16_t port);

    /// Key types on record for the host, in the file's order, without duplicates: what to ask the
    /// server for first.
    std::vector<std::string> types(std::string_view host, std::uint16_t port) const;

    /// Compares a key that the host has shown with the record.
    answer check(std::string_view host, std::uint16_t port, host_key const& shown) const;

    /// Puts a new key on record: at once in memory, then as one line at the end of the file
    /// (O_APPEND under flock, mode 0600, parent folder 0700 when missing). Lines that another
    /// process appended meanwhile are read first; the answer is `changed` when they name another
    /// key, else `match`. Throws error(errc::bad_known_hosts) when the file cannot be written.
    /// Cancelling may leave the line unwritten.
    awaitable<answer> remember(std::string host, std::uint16_t port, host_key shown);

    std::size_t size() const noexcept; ///< entries, those of an @cert-authority included

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::ssh
