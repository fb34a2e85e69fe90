#pragma once

#include <trawl/async.hpp>

#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

/// Connections and secrets, below every protocol. Names are resolved before (trawl/dns.hpp).
namespace trawl::net {

/// Conditions of category "trawl.net".
enum class errc {
    no_address = 1,  ///< connect was given no address
    empty_secret,    ///< a secret file whose first line is empty
    secret_too_long, ///< a secret file whose first line exceeds max_secret
};
/// Category "trawl.net" of errc.
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// Trivially copyable, so that braces in a co_await are safe on g++ 12.
struct options {
    std::chrono::milliseconds timeout{10'000}; ///< for all addresses together
    std::chrono::milliseconds stagger{250};    ///< head start of each address (RFC 8305 §5)
};

/// Connects to the first of `addresses` that answers (Happy Eyeballs, RFC 8305): IPv6 and IPv4 take
/// turns, beginning with the family of the first; the next attempt starts when one fails or after
/// `stagger`, and the losers are closed. An address that is given twice is tried once.
///
/// The socket runs on the caller's executor, is non-blocking and has TCP_NODELAY set. `host` is
/// what the user calls the peer; messages name it. Throws error: no_address; trawl::errc::timed_out
/// after `timeout`; else the system's reason of the last failure. said() lists every address tried
/// with its reason. Cancelling closes all attempts.
awaitable<asio::ip::tcp::socket> connect(std::string host, std::vector<asio::ip::address> addresses,
                                         std::uint16_t port, options how);
/// As above; messages name the peer by its first address.
awaitable<asio::ip::tcp::socket> connect(std::vector<asio::ip::address> addresses,
                                         std::uint16_t port, options how);
/// As above, with the options' defaults.
awaitable<asio::ip::tcp::socket> connect(std::vector<asio::ip::address> addresses,
                                         std::uint16_t port);

/// A password, passphrase or token. Move-only; its bytes are overwritten when it is destroyed or
/// moved over, and it has no way into a stream or a log. Moving never copies the bytes.
class secret {
public:
    secret() noexcept = default; ///< an empty one
    /// Copies `text` and overwrites it.
    explicit secret(std::string&& text);
    /// Takes the bytes over; the other is empty then.
    secret(secret&& other) noexcept
        : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
    /// Overwrites its own bytes first.
    secret& operator=(secret&& other) noexcept;
    ~secret();

    /// The bytes, followed by a NUL that is not counted; valid while the secret lives.
    std::string_view view() const noexcept { return {bytes_ ? bytes_.get() : "", size_}; }
    /// As view(), for C functions.
    char const* c_str() const noexcept { return bytes_ ? bytes_.get() : ""; }
    /// Bytes, without the NUL.
    std::size_t size() const noexcept { return size_; }
    /// Whether there are none.
    bool empty() const noexcept { return size_ == 0; }

private:
    void wipe() noexcept;
    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0;
};

/// Bytes of the longest secret that read_secret_file takes.
inline constexpr std::size_t max_secret = 4096;

/// The first line of a file, without its LF or CRLF. Throws error: the system's reason (no such
/// file, permission denied), empty_secret, secret_too_long. Blocks while it reads.
secret read_secret_file(std::filesystem::path const& path);

/// Reads the authorities that certificates are judged by, of a PEM file or, for an empty name, of the
/// system, unless this process has them and the file is as it was. The first TLS client to verify a
/// server does it otherwise, and holds its loop for some 40 ms; a service calls this before, in a job
/// of its pool. From any thread. Throws error: what is wrong with the file. Blocks while it reads.
void load_authorities(std::string const& ca_file);

} // namespace trawl::net

template <>
struct std::is_error_code_enum<trawl::net::errc> : std::true_type {};
