#pragma once

#include <trawl/async.hpp>
#include <trawl/dns.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/smtp.hpp>

#include <asio/any_io_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::smtp {

/// How messages find their way.
struct direct_options {
    /// For exchangers of which no policy asks for more; not implicit. With `none` there is no TLS at
    /// all, whatever DNS says.
    smtp::tls tls = smtp::tls::opportunistic;
    /// Use TLSA records that DNSSEC has proved (RFC 7672). The AD bit of the resolver's servers is
    /// believed: that is worth no more than the way to them.
    bool dane = true;
    /// Fetch the domains' MTA-STS policies (RFC 8461) over HTTPS and obey those in mode enforce,
    /// where no TLSA record does better: TLS with a verified certificate, and no exchanger that the
    /// policy does not name. Policies are kept in memory as long as they say.
    bool mta_sts = false;
    std::uint16_t https_port = 443; ///< of policies
    std::string ca_file;            ///< PEM; empty: the system's authorities
    /// Policies are kept in this folder, too, a file for each domain, so that an attacker gains
    /// nothing by hiding them from a new process (RFC 8461 §10.2). Made when missing, for its owner
    /// only; several processes may use it. Empty: they are kept in memory only.
    std::filesystem::path sts_folder;
    offload_pool* files = nullptr; ///< for that folder, which needs it; outlives what was started
    observer* watch = nullptr;     ///< hears of policies that cannot be kept, or be read again; not
                                   ///< owned

    std::string helo;                   ///< as in options
    std::vector<std::string> own_names; ///< other names of this host in MX records
    std::uint16_t port = 25;            ///< of exchangers
    smtp::timeouts limits;              ///< of each connection

    std::size_t domains = 50;    ///< that are served at a time
    pool_options each_exchanger; ///< connections and rate

    /// As in options; lines of several dialogues mix.
    std::function<void(char direction, std::string_view line)> trace;
};

/// Learns about a message on its way, in time to write it down: what a process that dies then knows
/// of its recipients when it comes back. Recipients are numbers in the envelope.
class journal {
public:
    virtual ~journal() = default;
    /// The message goes out to these: there is a connection, and nothing of the message is said on it
    /// before this returns. From then on each is unknown until answered. An error that it throws
    /// defers them.
    virtual awaitable<> sending(std::vector<std::size_t> recipients) = 0;
    /// An exchanger's answers for these; those deferred may be tried at the next one.
    virtual awaitable<> answered(std::vector<std::size_t> recipients,
                                 std::vector<recipient> answers) = 0;
};

/// Sends messages to the servers of their recipients' domains, without a relay in between.
///
/// Finds the exchangers of each domain (RFC 5321 §5.1, RFC 7505: a null MX refuses) and tries them
/// in order: while one cannot be reached, or defers, the next is tried with the recipients that are
/// left. Domains are served at the same time, and connections are kept, each exchanger's in a pool
/// of its own. Certificates are verified where TLSA records ask for it; then an exchanger that does
/// not comply gets nothing. Recipients in other scripts are looked up by their A-labels.
///
/// Not thread-safe. The resolver outlives it; it outlives what it has started. Destroying it closes
/// connections without QUIT.
class direct {
public:
    /// With mta_sts it reads the authorities, unless this process has (net::load_authorities): that
    /// blocks for some 40 ms.
    /// Throws error: errc::bad_value for tls::implicit and for a folder without a pool; what is wrong
    /// with ca_file, and with the folder.
    direct(asio::any_io_executor executor, dns::resolver& names, direct_options how);
    direct(direct const&) = delete;
    direct& operator=(direct const&) = delete;
    ~direct();

    /// Sends `one` to its recipients and returns the answer for each: refused where the domain says
    /// no, or does not exist; deferred, with the reason, where name servers or all exchangers fail;
    /// unknown where a connection died with the message on it, which is not tried elsewhere.
    ///
    /// A message with parameters.require_tls goes only to exchangers that DNSSEC or an MTA-STS policy
    /// names, over verified TLS (RFC 8689 §4.2.1). Throws error for addresses that cannot be in an envelope and
    /// when the resolver is destroyed. Cancelling closes the connections that carry it; what has no
    /// answer then is not known.
    awaitable<receipt> send(outgoing one);
    /// The same for a letter and its own envelope.
    awaitable<receipt> send(mime::message letter);
    /// As above; `notes` outlives the call.
    awaitable<receipt> send(outgoing one, journal& notes);

    /// Ends all sessions with QUIT, as client::quit.
    awaitable<> quit();

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::smtp
