#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <variant>
#include <vector>

/// Names to addresses and back, and the other records of a name (RFC 1034, 1035, 3596) over UDP, and
/// TCP where an answer does not fit.
namespace trawl::dns {

/// Conditions of category "trawl.dns".
enum class errc {
    not_found = 1,  ///< no such name, or it has no record of that type
    timed_out,      ///< no server answered in time
    refused,        ///< the last server to fail refuses to answer (RCODE 5)
    server_failure, ///< the last server to fail had another RCODE than 0 and 3
    bad_name,       ///< not a name: empty, a label over 63 bytes, a character outside ASCII
    bad_answer,     ///< the answer cannot be understood
    no_server,      ///< nobody listens there, or there is no way to it
    bad_server,     ///< options.servers holds something else than ADDR or ADDR:PORT
    closed,         ///< the resolver was destroyed meanwhile
};
/// Category "trawl.dns" of errc.
std::error_category const& category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// What a question asks for (RFC 1035 §3.2.2, 3596, 2782, 6698, 8659).
enum class type : std::uint16_t {
    a = 1,
    ns = 2,
    cname = 5,
    soa = 6,
    ptr = 12,
    mx = 15,
    txt = 16,
    aaaa = 28,
    srv = 33,
    tlsa = 52,
    caa = 257,
};
/// "AAAA".
std::string_view to_string(type) noexcept;
/// The type of that name, in upper or lower case; nullopt for any other text.
std::optional<type> type_of(std::string_view name) noexcept;

// Names inside records are written without a trailing dot ("." is the root), other bytes than
// visible ASCII, dots and backslashes in a label as \DDD or \X (RFC 1035 §5.1).

/// Who takes mail; "." for nobody (RFC 7505).
struct mx {
    std::uint16_t preference; ///< lower ones first (RFC 5321 §5.1)
    std::string exchange;     ///< the host
};
/// Where a service is offered (RFC 2782).
struct srv {
    std::uint16_t priority; ///< lower ones first
    std::uint16_t weight;   ///< the share among those of one priority
    std::uint16_t port;     ///< TCP or UDP, as the name says
    std::string target;     ///< the host; "." when there is no such service
};
/// The start of a zone (RFC 1035 §3.3.13, RFC 2308 §4).
struct soa {
    std::string primary;   ///< its first name server
    std::string mailbox;   ///< of the one who keeps it, a dot for the @
    std::uint32_t serial;  ///< version of the zone (RFC 1982)
    std::uint32_t refresh; ///< seconds between looks of a secondary server
    std::uint32_t retry;   ///< seconds until it looks again after a failure
    std::uint32_t expire;  ///< seconds until it stops answering without its primary
    std::uint32_t minimum; ///< seconds for which "no such name" holds
};
/// The character-strings of one record, as bytes.
struct txt {
    std::vector<std::string> strings; ///< up to 255 bytes each
};
/// Which certificate a server shows (RFC 6698 §2.1).
struct tlsa {
    std::uint8_t usage;    ///< 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE (RFC 7218)
    std::uint8_t selector; ///< 0: of the whole certificate, 1: of its public key
    std::uint8_t matching; ///< 0: the bytes themselves, 1: SHA-256, 2: SHA-512
    std::string data;      ///< bytes
};
/// Which authorities may issue certificates (RFC 8659 §4.1).
struct caa {
    std::uint8_t flags; ///< 128: critical
    std::string tag;    ///< "issue", "issuewild", "iodef"
    std::string value;  ///< as the tag has it
};
/// What one record says; a string is the name of CNAME, NS and PTR.
using value = std::variant<asio::ip::address, std::string, mx, srv, soa, txt, tlsa, caa>;
/// As a zone file writes it: `10 mail.example`, `"v=spf1 -all"`, `3 1 1 ab12...`.
std::string to_string(value const&);

/// How a question ended.
enum class status {
    answered,       ///< there are records
    no_such_name,   ///< nobody has that name (NXDOMAIN)
    no_data,        ///< the name has no record of that type
    server_failure, ///< answer::why tells
    timed_out,      ///< no server answered in time
};
/// "no_such_name".
std::string_view to_string(status) noexcept;

/// What became of a question.
struct answer {
    dns::status status = status::timed_out; ///< how it ended
    std::vector<value> values = {}; ///< of the type that was asked for; none unless answered
    std::string name = {};          ///< whose values they are, behind all aliases (CNAME)
    std::chrono::seconds ttl{0};    ///< how long it holds (RFC 1035 §4.1.3, RFC 2308 §5)
    bool authenticated = false;     ///< the server says that it has proved it by DNSSEC (RFC 4035
                                    ///< §3.2.3): worth no more than the way to that server
    std::error_code why = {};       ///< of errc, for server_failure and timed_out
};

/// Asks name servers, many questions at a time. One executor, not thread-safe.
///
/// A question says that the answer may have 1,232 bytes (RFC 6891) and that it wants to know whether
/// it was proved (RFC 6840 §5.7). Its number is random. A server that has answered before is asked
/// again as soon as an answer is late by its standards (RFC 6298 §2). The next server is asked when
/// one fails, or has not answered for `timeout`; one that says nothing at all comes last from then
/// on, but for a probe every 5 seconds. More look-ups are let in as answers come, and fewer when
/// they do not, so that no buffer between overflows for long.
///
/// Literal addresses, the hosts file (read when it has changed, looked at once a second) and
/// localhost (RFC 6761 §6.3) are answered by addresses() and names() without the network. Short
/// names are completed with the search list of resolv.conf; a trailing dot prevents it. Destroying
/// the resolver ends its look-ups with errc::closed; it may be destroyed inside one of them.
class resolver {
public:
    /// Whom it asks, and how long.
    struct options {
        std::vector<std::string> servers =
            {}; ///< "ADDR", "ADDR:PORT", "[V6]:PORT"; empty: resolv.conf
        std::chrono::milliseconds timeout{
            1000};     ///< of the first try at a server that has not answered yet; it doubles
        int tries = 3; ///< how often such a server is asked
        std::chrono::milliseconds deadline{10'000}; ///< of a look-up, from its first query on
        std::size_t in_flight = 1000; ///< look-ups at a time; more of them wait for a place
        bool search = true;           ///< complete short names
        std::size_t cached = 10'000;  ///< answers that are kept while they hold; 0: none
        std::filesystem::path hosts = "/etc/hosts";             ///< empty: none
        std::filesystem::path resolv_conf = "/etc/resolv.conf"; ///< of `servers` and `search`
    };

    /// Reads the configuration files (blocks shortly). Throws error(errc::bad_server).
    explicit resolver(asio::any_io_executor executor);
    /// As above, with other options than the defaults.
    resolver(asio::any_io_executor executor, options configuration);
    resolver(resolver const&) = delete;
    resolver& operator=(resolver const&) = delete;
    ~resolver();

    /// The addresses of `name`, IPv6 before IPv4 unless the hosts file says otherwise; never empty.
    /// When IPv4 has answered, IPv6 is given 50 ms more (RFC 8305 §3). Throws error of errc.
    /// Cancelling forgets the questions; the last look-up to end closes the sockets.
    awaitable<std::vector<asio::ip::address>> addresses(std::string name);

    /// The names of `address`: its line of the hosts file, else its PTR records, without a trailing
    /// dot; never empty. Throws and is cancelled as addresses().
    awaitable<std::vector<std::string>> names(asio::ip::address address);

    /// The records of `name` as the servers have them, behind its aliases; the hosts file and literal
    /// addresses mean nothing here. Whatever they answer, and silence too, is an answer: throws only
    /// error(errc::bad_name) and error(errc::closed). Cancelled as addresses().
    awaitable<answer> look_up(std::string name, type wanted);

    /// The PTR records of `address`, as look_up().
    awaitable<answer> look_up(asio::ip::address address);

    /// Look-ups that have a place; addresses() is one.
    std::size_t in_flight() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::dns

template <>
struct std::is_error_code_enum<trawl::dns::errc> : std::true_type {};
