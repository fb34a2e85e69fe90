#pragma once

#include <trawl/async.hpp>
#include <trawl/error.hpp>
#include <trawl/net.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/ssh_keys.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/address.hpp>
#include <asio/ip/tcp.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::ssh {

class session;

namespace detail {
struct session_state;
struct process_state;
struct forwarding_state;
class subsystem;
struct session_access;
awaitable<std::unique_ptr<subsystem>> open_subsystem(session& on, std::string name);
} // namespace detail

/// What can go wrong with an SSH host. A deadline that passed is trawl::errc::timed_out, with its
/// phase.
enum class errc {
    connect_failed = 1, ///< no TCP connection to any address
    banner,             ///< what answered does not speak SSH 2.0 (RFC 4253 §4.2)
    key_exchange,       ///< no common algorithm, or a bad signature (RFC 4253 §7, §8)
    host_key_unknown,   ///< nobody vouches for the host's key and the policy does not accept it
    host_key_changed,   ///< another key is on record for this host; no policy accepts that
    host_key_revoked,   ///< the key is marked @revoked in known_hosts
    auth_denied,        ///< the server refused every credential (RFC 4252)
    channel_refused,    ///< no channel for the command (RFC 4254 §5.1), for instance MaxSessions
    exec_failed,        ///< the server refused to run the command (RFC 4254 §6.5)
    disconnected,       ///< the connection ended before the answer was complete
    not_connected,      ///< connect() was not called or failed
    bad_key,            ///< not a private key that libssh can read
    bad_passphrase,     ///< the private key is encrypted and the passphrase is wrong or missing
    bad_agent,          ///< what answers at the agent's socket is none, or it refuses
    bad_known_hosts,    ///< the known_hosts file cannot be read or written
    bad_certificate,    ///< not a certificate, or one for another key
    forward_refused,    ///< the server does not listen for us (RFC 4254 §7.1)
    no_status, ///< the command ended without an exit status (a signal, or the server told none)
};

std::error_category const& category() noexcept; ///< "trawl.ssh"
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// How far a session had come.
enum class phase { resolve, connect, banner, key_exchange, host_key, auth, channel, exec, closing };

/// "connect", "banner", "key-exchange", ...
std::string_view name(phase value) noexcept;

/// A failure of one host: trawl::error that knows its phase.
/// what() reads "ssh 10.0.0.7:22 auth: permission denied (server allows publickey only)".
class failure : public error {
public:
    /// `peer`: "10.0.0.7:22"; `said`: the details, in the peer's words where there are any.
    failure(std::error_code code, phase at, std::string const& peer, std::string said = {});

    /// How far the session had come.
    phase at() const noexcept { return at_; }
    /// Whom it was with: "10.0.0.7:22".
    std::string const& peer() const noexcept { return peer_; }
    /// The code as one word for a record: "auth_denied", "timed_out".
    std::string_view word() const noexcept;

private:
    phase at_;
    std::string peer_;
};

/// Bounds of a session's phases; zero: no bound.
struct timeouts {
    std::chrono::milliseconds connect{10'000};   ///< TCP, all addresses together
    std::chrono::milliseconds handshake{15'000}; ///< banner and key exchange
    /// All attempts together.
    std::chrono::milliseconds auth{20'000};
    std::chrono::milliseconds exec{60'000}; ///< one command, from its channel's opening to its end
    std::chrono::milliseconds idle{
        0}; ///< a command whose connection is silent for so long has failed
};

/// Signs of life (keepalive@openssh.com), for a peer that stopped and a path that forgets. Asked for
/// when nothing has come for `interval`; when the peer stays silent for `unanswered` of them and one
/// interval more, the session fails with trawl::errc::timed_out.
struct keepalive {
    std::chrono::milliseconds interval{0}; ///< zero: none
    unsigned unanswered = 3;               ///< how many may stay without an answer
};

/// What to propose to the server (RFC 4253 §7.1), each as ssh_config(5) writes it: names with commas
/// in order of preference; or with + behind the built-in ones, with ^ before them, with - without
/// those that match. Empty: the built-in ones. Names that libssh does not know are left out.
struct algorithms {
    /// Ciphers, KexAlgorithms and MACs, for both directions.
    std::string ciphers{}, key_exchanges{}, macs{};
    std::string host_keys{}; ///< empty: those on record for the host first
};

/// The names that are left out.
std::vector<std::string> unsupported_names(algorithms const& wanted);

/// When to change keys; the peer may want to as well. Zero: when the cipher requires it (RFC 4344
/// §3.2).
struct rekey_limit {
    /// Sent or received with one key.
    std::uint64_t bytes = 0;
    std::chrono::seconds time{0}; ///< up to 49 days
};

/// What a server wants to know in keyboard-interactive authentication (RFC 4256 §3.2).
struct questions {
    /// One of them.
    struct question {
        std::string text;  ///< to show to the user, such as "Password: "
        bool echo = false; ///< the answer may be seen
    };
    /// To show before them; may be empty.
    std::string name, instruction;
    std::vector<question> all; ///< in order; may be none
};

class agent;

/// Whom to connect to, as whom, and how.
struct options {
    std::string host; ///< name or address: the known_hosts key, and where to connect
    std::vector<asio::ip::address>
        addresses{};         ///< of `host`, tried in order; empty: `host` is an address
    std::uint16_t port = 22; ///< of all addresses
    /// Connects through this session (ProxyJump), whose server looks `host` up; `addresses` are not
    /// used. It is connected already, carries any number of sessions at once, and ends them with it.
    std::shared_ptr<session> jump{};
    std::string user{}; ///< to log in as
    /// Keys are tried first, in this order, then those of the agent. Servers count attempts (sshd:
    /// MaxAuthTries 6). Empty ones are skipped.
    std::vector<private_key> identities{};
    std::shared_ptr<ssh::agent> agent{}; ///< <trawl/ssh_agent.hpp>; shared by the sessions of a run
    /// Also answers keyboard-interactive questions that do not echo. None: no password.
    std::shared_ptr<net::secret const> password{};
    /// Answers keyboard-interactive questions instead of the password, one each, within
    /// timeouts.auth.
    std::function<awaitable<std::vector<net::secret>>(ssh::questions)> answer{};
    host_key_policy policy = host_key_policy::strict; ///< for a host that is not on record
    std::shared_ptr<ssh::host_keys>
        known{};              ///< shared by the sessions of a run; none: an empty index of its own
    ssh::timeouts timeouts{}; ///< of each phase
    ssh::keepalive keepalive{};   ///< none by default
    ssh::algorithms algorithms{}; ///< what to propose
    ssh::rekey_limit rekey{};     ///< when to change keys
    std::size_t max_channels =
        10; ///< commands at once on this session; further ones wait (sshd: MaxSessions 10)
    std::size_t max_forwarded = 256; ///< connections at once of each forwarding
    observer* log = nullptr;         ///< not owned
};

/// A terminal for a command (RFC 4254 §6.2). With one, stderr arrives on stdout and the command
/// sees what is written to it as typed: byte 4 ends it, byte 3 interrupts.
struct terminal {
    std::string type = "xterm"; ///< TERM
    /// Its size in characters.
    unsigned columns = 80, rows = 24;
};

/// Variables for a command's environment, name and value. Most servers take few (sshd: AcceptEnv);
/// one that is refused is a warning to the observer and the command runs without it.
using variables = std::vector<std::pair<std::string, std::string>>;

/// What a command's stdin is made of: each call gives the next piece, which has gone out before the
/// next call; an empty one is the end. What it throws ends the command and leaves exec(). A wait
/// inside it is cancelled when the command has ended or its time is up.
using input_source = std::function<awaitable<std::string>()>;

/// The bytes of a file from offset `from` on, 128 KiB at a time, by pread(2): any number of sources may
/// share a descriptor, each at its own pace. The descriptor and the pool outlive it. It throws error
/// with the system's code when the file cannot be read.
input_source file_input(int descriptor, offload_pool& blocking, std::uint64_t from = 0);

/// How a command is run to its end.
struct exec_options {
    std::string input{};        ///< for the command's stdin, which then ends
    ssh::input_source source{}; ///< what follows `input` on it
    std::size_t max_output =
        1024 * 1024;            ///< bytes kept of each stream; the rest is read and dropped
    ssh::variables variables{}; ///< for its environment
    std::optional<ssh::terminal> terminal{}; ///< absent: none
    std::optional<std::chrono::milliseconds>
        timeout{}; ///< instead of timeouts.exec; zero: no bound
};

/// How a command is started.
struct process_options {
    ssh::variables variables{};              ///< for its environment
    std::optional<ssh::terminal> terminal{}; ///< absent: none
    /// Bytes of each output stream that read() gives at once. When so many wait here, the peer's
    /// window closes (up to 2.6 MB more are kept) and the command waits.
    std::size_t buffer = 64 * 1024;
    std::optional<std::chrono::milliseconds>
        timeout{}; ///< from start() to the end, instead of timeouts.exec; zero: no bound
};

/// Stdout or stderr of a command.
enum class output_stream { out, err };

/// Some bytes of a command's output, in the order of arrival.
struct output_piece {
    output_stream from = output_stream::out; ///< which of the two
    std::string bytes;                       ///< at least one
};

/// How a command ended. A status other than 0 is an answer, not an error.
struct completed {
    std::optional<int> exit_status{}; ///< none when a signal ended it or the server told none
    std::string exit_signal{}; ///< "TERM" without SIG (RFC 4254 §6.10), empty when it exited
    /// Stdout and stderr, bytes as they came.
    std::string out{}, err{};
    /// More came than exec_options.max_output.
    bool out_truncated = false, err_truncated = false;
    duration elapsed{}; ///< from the opening of its channel to its end
};

/// A running command with its three streams (RFC 4254 §6), made by session::start().
///
///     ssh::process tail = co_await host.start("tail -f /var/log/syslog", how);
///     tail.close_input();
///     while (auto piece = co_await tail.read()) print(piece->from, piece->bytes);
///     auto end = co_await tail.wait();
///
/// One coroutine may write while another reads; a command that answers as it reads needs both,
/// for what nobody reads stops it. Every function throws failure when the connection is lost or the
/// time of process_options is up. Destroying it ends the command as a cancelled exec() does. The
/// session must stay connected meanwhile and may be destroyed first.
class process {
public:
    /// The other may only be assigned to or destroyed then; not while it works.
    process(process&&) noexcept;
    /// Ends its own command first.
    process& operator=(process&&) noexcept;
    ~process();

    /// Sends `bytes` to the command's stdin as fast as the peer's window allows; returns when libssh
    /// has all of them. False when the command does not take them any more: it has ended or closed
    /// its stdin. Cancelling may leave a part sent.
    awaitable<bool> write(std::string bytes);
    /// The same without a copy that stays in memory; `bytes` outlive the call.
    awaitable<bool> write(secret const& bytes);
    /// Ends the command's stdin.
    void close_input();

    /// The next piece of either stream; nullopt when both have ended. At most
    /// process_options.buffer bytes. Cancelling loses nothing.
    awaitable<std::optional<output_piece>> read();

    /// Drops what has not been read, and waits for the end; `out` and `err` are empty.
    awaitable<completed> wait();

    /// Sends a signal, named without SIG ("TERM", RFC 4254 §6.9). OpenSSH passes it on since 7.9;
    /// others may ignore it, and no answer tells.
    void signal(std::string const& name);
    /// Tells the command that its terminal has another size (RFC 4254 §6.7).
    void resize(unsigned columns, unsigned rows);

private:
    friend class session;
    explicit process(std::unique_ptr<detail::process_state> state);
    std::unique_ptr<detail::process_state> state_;
};

/// A port whose connections go through a session, made by session::forward_local(),
/// forward_dynamic() or forward_remote(). It listens from then on until it is destroyed.
///
///     ssh::forwarding web = host.forward_local(at, "intranet.example", 80);
///     auto both = [&](task_group& group) -> awaitable<> {
///         group.spawn_background(web.run());
///         co_await visit("http://127.0.0.1:" + std::to_string(web.port()));
///     };
///     co_await with_group(both);
///
/// Bytes go both ways as fast as the slower side takes them, with 2 MB kept of a connection at most,
/// and so does each end of stream. options.max_forwarded connections are carried at once: at a port
/// of this side further ones wait in its backlog, at one of the server's they are refused.
class forwarding {
public:
    /// The other may only be assigned to or destroyed then; not while run() runs.
    forwarding(forwarding&&) noexcept;
    /// Stops listening at its own port first.
    forwarding& operator=(forwarding&&) noexcept;
    /// Not while run() runs. A server is told to listen no more, without waiting for its answer.
    ~forwarding();

    /// Where it listens: the port that was chosen when it was asked for 0.
    std::uint16_t port() const noexcept;
    /// Connections that are carried now.
    std::size_t connections() const noexcept;

    /// Carries connections until it is cancelled, which closes them all; may be called again then.
    /// Throws failure when the session's connection is lost. A connection that fails ends alone,
    /// with a line to the observer.
    awaitable<> run();

private:
    friend class session;
    explicit forwarding(std::unique_ptr<detail::forwarding_state> state);
    std::unique_ptr<detail::forwarding_state> state_;
};

/// One SSH connection (RFC 4251-4254): authenticate once, then run any number of commands, several
/// at a time.
///
/// All functions belong to one executor, that of the constructor. Every failure is an ssh::failure
/// that names the host and the phase. Nothing here blocks, the destructor included: it says goodbye
/// if that goes at once and closes.
class session {
public:
    /// Connects nowhere yet.
    session(asio::any_io_executor executor, options configuration);
    /// The other may only be destroyed then; not while it works.
    session(session&&) noexcept;
    session(session const&) = delete;
    session& operator=(session const&) = delete;
    ~session();

    /// Connects, checks the host's key, authenticates. Throws failure; then, or when cancelled, the
    /// connection is closed and connect() may be called again.
    awaitable<> connect();
    /// As connect(), over a connection that is there already: TCP, or a Unix-domain stream such as
    /// that of open_tunnel().
    awaitable<> connect(asio::generic::stream_protocol::socket connected);

    /// Runs a command in the user's login shell and returns when it has ended and all of its output
    /// is here. Up to options.max_channels run at once. A connection that is lost before the end of
    /// the output is a failure even if the exit status has come (it may precede the output, RFC 4254
    /// §6.10); the failure then names it. Cancelling, or a deadline, sends the command SIGTERM
    /// (to dropbear, which may end the session then, nothing), closes its channel and leaves the
    /// session usable.
    awaitable<completed> exec(std::string command);
    /// With other options than the defaults.
    awaitable<completed> exec(std::string command, exec_options how);

    /// Starts a command and returns when the server has agreed; counts among options.max_channels
    /// until the process is destroyed.
    awaitable<process> start(std::string command);
    /// With other options than the defaults.
    awaitable<process> start(std::string command, process_options how);

    /// Has the server connect to host:port, which it looks up (direct-tcpip, RFC 4254 §7.2), within
    /// timeouts.connect. The bytes go through the socket that is returned, one end of a pair, as far
    /// as the window allows. Any number at once, beside the commands. Closing the socket closes
    /// the connection; when this session ends, the socket reads the end of the stream. Throws
    /// failure in phase connect when the server refuses or does not reach the host.
    awaitable<asio::generic::stream_protocol::socket> open_tunnel(std::string host,
                                                                  std::uint16_t port);

    /// Listens at `at` of this side; the server connects each connection to host:port, which it
    /// looks up (direct-tcpip, RFC 4254 §7.2). Throws failure with errc::not_connected, error with
    /// the system's code when it cannot listen.
    forwarding forward_local(asio::ip::tcp::endpoint at, std::string host, std::uint16_t port);
    /// Listens at `at` of this side as a SOCKS server: 5 (RFC 1928) without authentication, 4 and
    /// 4a, CONNECT only. Each client names what the server connects it to. Throws as
    /// forward_local().
    forwarding forward_dynamic(asio::ip::tcp::endpoint at);
    /// Has the server listen (tcpip-forward, RFC 4254 §7.1) at `bind`, an address of its own, ""
    /// for all or "localhost", and `bind_port`, 0 for a dynamic one that is free; within
    /// timeouts.exec.
    /// Each connection there goes to the first of `to` that answers, at `port`, from this side.
    /// Throws failure with errc::forward_refused. Cancelled before its answer, the server is told
    /// to listen no more when it comes.
    awaitable<forwarding> forward_remote(std::string bind, std::uint16_t bind_port,
                                         std::vector<asio::ip::address> to, std::uint16_t port);

    /// Says goodbye (SSH_MSG_DISCONNECT) and closes; takes a second at most and never throws for
    /// the peer's sake.
    awaitable<> disconnect();

    /// Whether there is a connection that is not known to be lost.
    bool connected() const noexcept;
    /// As in the options.
    std::string const& host() const noexcept;
    /// The address and port that answered, as in error messages: "10.0.0.7:22".
    std::string const& peer() const noexcept;
    /// The address of that; none before the first connection.
    std::optional<asio::ip::address> address() const noexcept;
    /// The server's version string ("SSH-2.0-OpenSSH_9.2p1"), empty before the banner.
    std::string const& banner() const noexcept;
    /// The key that the host has shown; empty type before the key exchange.
    host_key const& key() const noexcept;

private:
    friend awaitable<std::unique_ptr<detail::subsystem>> detail::open_subsystem(session&,
                                                                                std::string);
    friend struct detail::session_access;
    std::shared_ptr<detail::session_state> state_;
};

} // namespace trawl::ssh

template <>
struct std::is_error_code_enum<trawl::ssh::errc> : std::true_type {};
