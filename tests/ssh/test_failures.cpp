#include "ssh/fixture.hpp"

#include <asio/ip/tcp.hpp>

using namespace trawl;
using namespace trawl::test;
using tcp = asio::ip::tcp;

namespace {

/// A server that does what the test says with each connection, as long as the test's body runs.
class scripted_peer {
public:
    using script = std::function<awaitable<>(tcp::socket&)>;

    scripted_peer(asio::any_io_executor executor, script what)
        : acceptor_(executor, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)),
          script_(std::move(what)) {}

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    awaitable<> serve() {
        for (;;) {
            tcp::socket socket(acceptor_.get_executor());
            co_await acceptor_.async_accept(socket, asio::use_awaitable);
            try {
                co_await script_(socket);
            } catch (std::system_error const& gone) {
                if (is_cancelled(gone)) throw;
            }
        }
    }

private:
    tcp::acceptor acceptor_;
    script script_;
};

/// What connect() says to a peer that follows `script`.
ssh::failure against(scripted_peer::script script,
                     ssh::options how = ssh::options{.host = "127.0.0.1"}) {
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        scripted_peer peer(executor, script);
        how.port = peer.port();
        auto scene = [&](task_group& group) -> awaitable<> {
            group.spawn_background(peer.serve());
            ssh::session host(executor, how);
            co_await host.connect();
        };
        co_await with_group(scene);
    };
    return failure_of(body);
}

awaitable<> silence(tcp::socket& socket) {
    char piece[4096];
    for (;;) co_await socket.async_read_some(asio::buffer(piece), asio::use_awaitable);
}

scripted_peer::script saying(std::string text, bool stay) {
    return [text, stay](tcp::socket& socket) -> awaitable<> {
        co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
        if (stay) co_await silence(socket);
    };
}

std::size_t open_files() {
    std::size_t count = 0;
    for ([[maybe_unused]] auto const& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

} // namespace

TEST_CASE("a refused connection says so", "[ssh][failure]") {
    ssh::options how{.host = "127.0.0.1"};
    how.port = free_port();
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::connect_failed);
    CHECK(thrown.at() == ssh::phase::connect);
    CHECK(thrown.word() == "connect_failed");
    CHECK(thrown.where() == "ssh 127.0.0.1:" + std::to_string(how.port) + " connect");
    CHECK(std::string(thrown.what()).find("refused") != std::string::npos);
}

TEST_CASE("a name without an address fails in the resolve phase", "[ssh][failure]") {
    auto const thrown = connect_failure(ssh::options{.host = "web.example"});
    CHECK(thrown.at() == ssh::phase::resolve);
    CHECK(thrown.word() == "resolve_failed");
}

TEST_CASE("a second address is tried when the first refuses", "[ssh][failure]") {
    auto how = good_options();
    how.addresses = {asio::ip::make_address("127.0.0.9"), asio::ip::make_address("127.0.0.1")};
    CHECK(run_once(how, "echo x").out == "x\n"); // sshd listens on 127.0.0.1 only
}

TEST_CASE("a silent peer is given up in the banner phase, in time", "[ssh][failure]") {
    ssh::options how{.host = "127.0.0.1"};
    how.timeouts.handshake = 200ms;
    auto const begun = clock::now();
    auto const thrown = against(silence, how);
    CHECK(thrown.code() == trawl::errc::timed_out);
    CHECK(thrown.at() == ssh::phase::banner);
    CHECK(thrown.word() == "timed_out");
    CHECK(std::string(thrown.what()).find("200 ms") != std::string::npos);
    CHECK(clock::now() - begun < 5s);
}

TEST_CASE("a peer that stops after its banner is given up in the key exchange", "[ssh][failure]") {
    ssh::options how{.host = "127.0.0.1"};
    how.timeouts.handshake = 200ms;
    auto const thrown = against(saying("SSH-2.0-Stalled\r\n", true), how);
    CHECK(thrown.code() == trawl::errc::timed_out);
    CHECK(thrown.at() == ssh::phase::key_exchange);
}

TEST_CASE("what does not speak SSH 2.0 fails in the banner phase", "[ssh][failure]") {
    for (std::string const text : {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-1.5-Old\r\n",
                                   "220 mail ESMTP\r\n", "\x16\x03\x01\x02\x00\x01\r\n"}) {
        INFO(text);
        ssh::options how{.host = "127.0.0.1"};
        how.timeouts.handshake = 500ms;
        auto const thrown = against(saying(text, true), how);
        CHECK(thrown.at() == ssh::phase::banner);
        CHECK((thrown.code() == ssh::errc::banner || thrown.code() == trawl::errc::timed_out));
    }
}

TEST_CASE("a banner without end is refused", "[ssh][failure]") {
    auto const thrown = against(saying(std::string(100'000, 'A'), true));
    CHECK(thrown.code() == ssh::errc::banner);
}

TEST_CASE("a peer that closes at once lost the connection in the banner phase", "[ssh][failure]") {
    auto const thrown = against(saying("", false));
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::banner);
}

TEST_CASE("garbage after the banner fails in the key exchange", "[ssh][failure]") {
    std::string noise;
    for (int i = 0; i < 4096; ++i) noise += static_cast<char>(i * 2654435761u >> 11);
    auto const thrown = against(saying("SSH-2.0-Noise\r\n" + noise, false));
    CHECK(thrown.at() == ssh::phase::key_exchange);
    CHECK((thrown.code() == ssh::errc::key_exchange || thrown.code() == ssh::errc::disconnected));
}

TEST_CASE("a key that the server does not know is denied with the methods it allows",
          "[ssh][failure]") {
    auto how = good_options();
    how.identities = {ssh::load_private_key(server().file("stranger"))};
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::auth_denied);
    CHECK(thrown.at() == ssh::phase::auth);
    CHECK(std::string(thrown.what()).find("server allows publickey only") != std::string::npos);
    CHECK(thrown.where() == "ssh 127.0.0.1:" + std::to_string(how.port) + " auth");
}

TEST_CASE("a password where only keys count is denied, and the message does not hold it",
          "[ssh][failure]") {
    auto how = good_options();
    how.identities.clear();
    how.password = std::make_shared<net::secret>(std::string("open-sesame-1234567"));
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::auth_denied);
    CHECK(std::string(thrown.what()).find("publickey") != std::string::npos);
    CHECK(std::string(thrown.what()).find("sesame") == std::string::npos);
}

TEST_CASE("without any credential the answer names what the server wants", "[ssh][failure]") {
    auto how = good_options();
    how.identities.clear();
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::auth_denied);
    CHECK(std::string(thrown.what()).find("server allows publickey only") != std::string::npos);
}

TEST_CASE("strict refuses an unknown host key and shows its fingerprint",
          "[ssh][failure][host_keys]") {
    auto how = good_options();
    how.known = nullptr;
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::host_key_unknown);
    CHECK(thrown.at() == ssh::phase::host_key);
    auto const key = ssh::load_private_key(server().file("host_ed25519"));
    CHECK(thrown.said().find("ssh-ed25519 " + key.fingerprint()) != std::string::npos);
}

TEST_CASE("accept-new and auto-add remember a new key, and strict then knows it",
          "[ssh][host_keys]") {
    for (auto policy : {ssh::host_key_policy::accept_new, ssh::host_key_policy::auto_add}) {
        scratch folder;
        auto how = good_options();
        how.policy = policy;
        how.known = std::make_shared<ssh::host_keys>(
            ssh::host_keys::options{.file = folder / "known_hosts"});
        CHECK(run_once(how, "echo x").out == "x\n");
        auto const written = read_text(folder / "known_hosts");
        auto const whole = server().known_hosts_line();
        CHECK(whole.starts_with(written.substr(0, written.size() - 1))); // whole has a comment too
        how.policy = ssh::host_key_policy::strict;
        how.known = std::make_shared<ssh::host_keys>(
            ssh::host_keys::options{.file = folder / "known_hosts"});
        CHECK(run_once(how, "echo x").out == "x\n");
    }
}

TEST_CASE("warn accepts an unknown key with a word, and remembers nothing", "[ssh][host_keys]") {
    struct notes : observer {
        void log(severity level, std::string_view, std::string_view text) override {
            if (level == severity::warning) lines.emplace_back(text);
        }
        std::vector<std::string> lines;
    } seen;
    auto how = good_options();
    how.policy = ssh::host_key_policy::warn;
    how.known = std::make_shared<ssh::host_keys>();
    how.log = &seen;
    CHECK(run_once(how, "echo x").out == "x\n");
    REQUIRE(seen.lines.size() == 1);
    CHECK(seen.lines[0].find("SHA256:") != std::string::npos);
    CHECK(how.known->size() == 0);
}

TEST_CASE("a changed host key fails under every policy, with both fingerprints and the line",
          "[ssh][host_keys]") {
    auto how = good_options();
    // The user's key stands where the host's ought to be.
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse("# one line before\n" + server().known_hosts_line("user"), "HOSTS");
    auto const shown = ssh::load_private_key(server().file("host_ed25519")).fingerprint();
    auto const expected = ssh::load_private_key(server().file("user")).fingerprint();
    for (auto policy : {ssh::host_key_policy::strict, ssh::host_key_policy::accept_new,
                        ssh::host_key_policy::warn, ssh::host_key_policy::auto_add}) {
        how.policy = policy;
        auto const thrown = connect_failure(how);
        CHECK(thrown.code() == ssh::errc::host_key_changed);
        CHECK(thrown.said().find(shown) != std::string::npos);
        CHECK(thrown.said().find(expected) != std::string::npos);
        CHECK(thrown.said().find("HOSTS:2") != std::string::npos);
    }
}

TEST_CASE("the type of key on record is asked for first", "[ssh][host_keys]") {
    auto how = good_options();
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse(server().known_hosts_line("host_ecdsa"), "HOSTS");
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        CHECK(host.key().type == "ecdsa-sha2-nistp256");
    };
    run(body);
}

TEST_CASE("a revoked host key is refused", "[ssh][host_keys]") {
    auto how = good_options();
    how.known->parse("@revoked " + server().known_hosts_line(), "REVOKED");
    how.policy = ssh::host_key_policy::warn;
    CHECK(connect_failure(how).code() == ssh::errc::host_key_revoked);
}

TEST_CASE("a connection that dies under a command fails that command only", "[ssh][failure]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        bool lost = false;
        try {
            co_await host.exec("echo begun; kill -KILL $PPID; sleep 5");
        } catch (ssh::failure const& thrown) {
            lost = thrown.code() == ssh::errc::disconnected && thrown.at() == ssh::phase::exec;
        }
        CHECK(lost);
        CHECK_FALSE(host.connected());
        co_await host.connect();
        auto const done = co_await host.exec("echo again");
        CHECK(done.out == "again\n");
    };
    run(body);
}

TEST_CASE("a command that takes too long is ended and the session goes on", "[ssh][failure]") {
    auto const how = good_options();
    scratch folder;
    auto const mark = (folder / "mark").string();
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        ssh::exec_options brief;
        brief.timeout = 300ms;
        bool timed_out = false;
        try {
            co_await host.exec("trap 'echo TERM > " + mark + "; exit' TERM; sleep 9 & wait", brief);
        } catch (ssh::failure const& thrown) {
            timed_out = thrown.code() == trawl::errc::timed_out && thrown.at() == ssh::phase::exec;
        }
        CHECK(timed_out);
        auto const done = co_await host.exec("echo alive");
        CHECK(done.out == "alive\n");
        // A server that runs as root does not pass signals on (session.c, "requires privilege
        // separation").
        for (int i = 0; ::geteuid() != 0 && i < 100 && read_text(mark).empty(); ++i)
            co_await host.exec("sleep 0.05");
        CHECK(read_text(mark) == (::geteuid() != 0 ? "TERM\n" : ""));
    };
    run(body);
}

TEST_CASE("a silent connection fails by the idle bound", "[ssh][failure]") {
    auto how = good_options();
    how.timeouts.idle = 200ms;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        co_await host.exec("echo x; sleep 9");
    };
    auto const thrown = failure_of(body);
    CHECK(thrown.code() == trawl::errc::timed_out);
    CHECK(thrown.said() == "silent for 200 ms");
}

TEST_CASE("a server with fewer channels than we would use is waited for", "[ssh]") {
    sshd few("MaxSessions 3");
    auto const how = good_options(few);
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        int right = 0;
        auto one = [&]() -> awaitable<> {
            auto const done = co_await host.exec("sleep 0.1; echo x");
            right += done.out == "x\n";
        };
        auto all = [&](task_group& group) -> awaitable<> {
            co_await host.exec("true");
            for (int i = 0; i < 12; ++i) group.spawn(one());
        };
        co_await with_group(all);
        CHECK(right == 12);
    };
    run(body);
}

TEST_CASE("cancelling at any moment of a connection and a command leaves nothing open",
          "[ssh][cancel]") {
    auto const how = good_options();
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto first = std::make_unique<ssh::session>(executor, how);
        co_await first->connect(); // the loop opens descriptors of its own when it first waits
        first.reset();
        auto const before = open_files();
        int cut = 0, ended = 0;
        // From "not begun" past the end of a whole session: every phase is hit by some of them.
        for (auto limit = 0us; ended < 3 && limit < 5s; limit += 1500us + limit / 50) {
            ssh::session host(executor, how);
            auto whole = [&]() -> awaitable<> {
                co_await host.connect();
                co_await host.exec("echo x; sleep 0.01");
            };
            auto work = whole();
            if (co_await within(limit, std::move(work)))
                ++ended;
            else
                ++cut;
        }
        co_await yield();
        CHECK(cut > 5);
        CHECK(ended > 0);
        CHECK(open_files() == before);
    };
    run(body, 120s);
}

TEST_CASE("a cancelled command gives its channel back", "[ssh][cancel]") {
    auto how = good_options();
    how.max_channels = 2;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        for (auto limit = 0us; limit < 20ms; limit += 500us) {
            // Ends with the pipe: a command that runs on keeps its place in sshd's MaxSessions.
            auto sleeper = host.exec("while echo x; do sleep 0.01; done");
            auto const done = co_await within(limit, std::move(sleeper));
            CHECK_FALSE(done);
        }
        auto const done = co_await host.exec("echo alive");
        CHECK(done.out == "alive\n");
    };
    run(body);
}

TEST_CASE("a stopped peer holds up its own session and nothing else", "[ssh][hold]") {
    auto const how = good_options();
    asio::io_context io(1);
    watchdog watch(io);
    std::exception_ptr failed;
    bool timed_out = false;
    int others = 0;
    auto body = [&]() -> awaitable<> {
        ssh::session stopped(io.get_executor(), how), lively(io.get_executor(), how);
        co_await stopped.connect();
        co_await lively.connect();
        auto const told = co_await stopped.exec("echo $PPID");
        auto const pid = static_cast<pid_t>(std::stol(told.out));
        REQUIRE(pid > 1);
        REQUIRE(::kill(pid, SIGSTOP) == 0);
        scratch folder; // should the loop hang in a send, somebody must wake the peer
        auto const rescue =
            spawn({"/bin/sh", "-c", "sleep 4; kill -CONT " + std::to_string(pid)}, folder / "log");
        ssh::exec_options big;
        big.input.assign(16 * 1024 * 1024, 'x');
        big.timeout = 1s;
        auto work = [&](task_group& group) -> awaitable<> {
            auto feed = [&]() -> awaitable<> {
                try {
                    co_await stopped.exec("cat > /dev/null", big);
                } catch (ssh::failure const& thrown) {
                    timed_out = thrown.code() == trawl::errc::timed_out;
                }
            };
            group.spawn(feed());
            for (auto const end = clock::now() + 900ms; clock::now() < end; ++others)
                co_await lively.exec("true");
            co_await group.join();
        };
        co_await with_group(work);
        ::kill(pid, SIGCONT);
        ::kill(rescue, SIGKILL);
        ::waitpid(rescue, nullptr, 0);
    };
    asio::co_spawn(io, body, [&](std::exception_ptr e) { failed = e; });
    watch.run();
    if (failed) std::rethrow_exception(failed);
    CHECK(timed_out);
    CHECK(others > 5);
    auto const hold = watch.figures().hold;
    INFO("hold p99.9 " << std::chrono::duration_cast<std::chrono::microseconds>(hold.p999).count()
                       << " us, max "
                       << std::chrono::duration_cast<std::chrono::microseconds>(hold.max).count()
                       << " us");
    CHECK(hold.max < 500ms); // a blocked send lasts as long as the peer is stopped
}

TEST_CASE("an encrypted key needs its passphrase, and a file without a key says so", "[ssh][key]") {
    server().keygen("locked", "ed25519", "correct horse");
    auto const code = [](std::filesystem::path const& file, std::string passphrase) {
        try {
            ssh::load_private_key(file, net::secret(std::move(passphrase)));
        } catch (error const& thrown) {
            CHECK(std::string(thrown.what()).find(file.string()) != std::string::npos);
            CHECK(std::string(thrown.what()).find("horse") == std::string::npos);
            return thrown.code();
        }
        return std::error_code();
    };
    CHECK_FALSE(code(server().file("locked"), "correct horse"));
    CHECK(code(server().file("locked"), "") == ssh::errc::bad_passphrase);
    CHECK(code(server().file("locked"), "wrong horse") == ssh::errc::bad_passphrase);
    CHECK(code(server().file("sshd_config"), "") == ssh::errc::bad_key);
    CHECK(code(server().file("sshd_config"), "horse") == ssh::errc::bad_key);
    CHECK(code(server().file("user.pub"), "") == ssh::errc::bad_key);
    CHECK(code(server().file("nowhere"), "") == std::errc::no_such_file_or_directory);
    CHECK_FALSE(code(server().file("user"), "needless horse"));
}
