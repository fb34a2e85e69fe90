// The library against servers that others run, beside OpenSSH's: dropbear and asyncssh.
#include "peers/asyncssh.hpp"
#include "peers/dropbear.hpp"
#include "ssh/fixture.hpp"

#include <trawl/sftp.hpp>

#include <random>
#include <vector>

using namespace trawl;
using namespace trawl::test;

namespace {

/// One server of each kind for all cases.
template <class Server>
Server& the() {
    static Server instance;
    return instance;
}

/// Options for the server without a way to log in.
template <class Server>
ssh::options options_for(Server const& at) {
    ssh::options how{.host = "127.0.0.1"};
    how.port = at.port();
    how.user = at.user();
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse(at.known_hosts_line(), "peer");
    return how;
}

template <class Server>
ssh::options with_key(Server const& at) {
    auto how = options_for(at);
    how.identities = {ssh::load_private_key(at.file("user"))};
    return how;
}

std::shared_ptr<net::secret const> password(std::string text) {
    return std::make_shared<net::secret>(std::move(text));
}

std::string noise(std::size_t size) {
    std::mt19937 chance(11);
    std::string bytes(size, '\0');
    for (auto& c : bytes) c = static_cast<char>(chance());
    return bytes;
}

/// Runs `body(session)` on a session that is connected with `how`.
void on_session(ssh::options how, std::function<awaitable<>(ssh::session&)> body) {
    auto all = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        co_await body(host);
        co_await host.disconnect();
    };
    run(all, 60s);
}

} // namespace

TEMPLATE_TEST_CASE("other servers let a key and a password in, and nobody else", "[ssh][peers]",
                   dropbear, asyncssh) {
    auto const& at = the<TestType>();
    CHECK(run_once(with_key(at), "echo in").out == "in\n");

    auto how = options_for(at);
    how.password = password("correct horse");
    CHECK(run_once(how, "echo in").out == "in\n");

    how.password = password("wrong horse");
    auto const refused = connect_failure(how);
    CHECK(refused.code() == ssh::errc::auth_denied);
    CHECK(refused.said().find("server allows publickey, password") == 0);
    CHECK(refused.said().find("tried password as peer") != std::string::npos);

    how.password = nullptr;
    how.identities = {ssh::load_private_key(server().file("stranger"))};
    CHECK(connect_failure(how).code() == ssh::errc::auth_denied);
}

TEMPLATE_TEST_CASE("a host key that another server shows is compared", "[ssh][peers]", dropbear,
                   asyncssh) {
    auto const& at = the<TestType>();
    auto how = with_key(at);
    how.known = std::make_shared<ssh::host_keys>();
    CHECK(connect_failure(how).code() == ssh::errc::host_key_unknown);
    auto const line = server().known_hosts_line();
    how.known->parse(test::known_hosts_line(at.port(), line.substr(line.find(' ') + 1)), "other");
    CHECK(connect_failure(how).code() == ssh::errc::host_key_changed);
}

TEMPLATE_TEST_CASE("other servers run a command with its three streams and its status",
                   "[ssh][peers]", dropbear, asyncssh) {
    ssh::exec_options how;
    how.input = "typed";
    auto const done =
        run_once(with_key(the<TestType>()), "cat; echo complaint >&2; cat /dev/null; exit 7", how);
    CHECK(done.exit_status == 7);
    CHECK(done.out == "typed");
    CHECK(done.err == "complaint\n");
}

TEMPLATE_TEST_CASE("other servers run many commands on one session, as many at once as they can",
                   "[ssh][peers]", dropbear, asyncssh) {
    std::size_t right = 0;
    auto body = [&](ssh::session& host) -> awaitable<> {
        auto one = [&](int number) -> awaitable<> {
            auto const word = std::to_string(number);
            auto const done = co_await host.exec("echo " + word);
            right += done.out == word + "\n" && done.exit_status == 0;
        };
        auto all = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 40; ++i) group.spawn(one(i));
            co_return;
        };
        co_await with_group(all);
    };
    auto how = with_key(the<TestType>());
    how.max_channels = TestType::commands_at_once;
    on_session(how, body);
    CHECK(right == 40);
}

TEMPLATE_TEST_CASE("other servers carry 5 MB both ways, and renew keys meanwhile if they can",
                   "[ssh][peers]", dropbear, asyncssh) {
    auto how = with_key(the<TestType>());
    if (TestType::renews_keys) how.rekey.bytes = 1'000'000;
    ssh::exec_options roomy;
    roomy.input = noise(5'000'000);
    roomy.max_output = 6'000'000;
    auto const done = run_once(how, "cat", roomy);
    CHECK((done.out == roomy.input)); // not printed
    CHECK_FALSE(done.out_truncated);
    CHECK(done.exit_status == 0);
}

TEMPLATE_TEST_CASE("files go up to other servers and come back", "[sftp][peers]", dropbear,
                   asyncssh) {
    scratch folder;
    auto const bytes = noise(3'000'000);
    write_text(folder / "here", bytes);
    auto body = [&](ssh::session& host) -> awaitable<> {
        auto files = co_await sftp::open(host);
        auto const there = (folder / "there").string();
        co_await files.put(folder / "here", there);
        co_await files.get(there, folder / "back");
        auto const attrs = co_await files.stat(there);
        CHECK(attrs.size == bytes.size());
        auto const found = co_await files.listdir(folder.path().string());
        CHECK(found.size() >= 3);
        co_await files.rename(there, there + "2");
        co_await files.remove(there + "2");
    };
    on_session(with_key(the<TestType>()), body);
    CHECK((read_text(folder / "back") == bytes));
    CHECK_FALSE(std::filesystem::exists(folder / "there"));
    CHECK_FALSE(std::filesystem::exists(folder / "there2"));
}

TEMPLATE_TEST_CASE("a session goes through other servers", "[ssh][jump][peers]", dropbear,
                   asyncssh) {
    auto const& at = the<TestType>();
    std::string out;
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        auto const jump = std::make_shared<ssh::session>(executor, with_key(at));
        co_await jump->connect();
        auto how = good_options();
        how.jump = jump;
        ssh::session behind(executor, how);
        co_await behind.connect();
        auto const done = co_await behind.exec("head -c 500000 /dev/zero | wc -c; echo there");
        out = done.out;
        co_await behind.disconnect();
        co_await jump->disconnect();
    };
    run(body);
    CHECK(out == "500000\nthere\n");
}

TEMPLATE_TEST_CASE("a command that is given up ends on other servers, and the session goes on",
                   "[ssh][peers]", dropbear, asyncssh) {
    auto body = [&](ssh::session& host) -> awaitable<> {
        ssh::exec_options hurried;
        hurried.timeout = 200ms;
        bool late = false;
        try {
            co_await host.exec("sleep 60", hurried);
        } catch (ssh::failure const& thrown) {
            late = thrown.code() == trawl::errc::timed_out;
        }
        CHECK(late);
        auto const done = co_await host.exec("echo on");
        CHECK(done.out == "on\n");
    };
    on_session(with_key(the<TestType>()), body);
}
