#include "ssh/scripted_server.hpp"

using namespace trawl;
using namespace trawl::test;
using words = std::vector<std::string>;

namespace {

std::shared_ptr<net::secret const> password(std::string text) {
    return std::make_shared<net::secret>(std::move(text));
}

/// Runs a command against a server that follows `what`, logged in by password.
ssh::completed command_against(scripted_server::script what) {
    scripted_server server(std::move(what));
    auto how = server.options();
    how.password = password("correct horse");
    return run_once(how, "anything");
}

ssh::failure failure_against(scripted_server::script what) {
    scripted_server server(std::move(what));
    auto how = server.options();
    how.password = password("correct horse");
    how.timeouts.exec = 300ms;
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        co_await host.exec("anything");
    };
    return failure_of(body);
}

} // namespace

TEST_CASE("a password logs in at the first try", "[ssh][auth]") {
    scripted_server server({});
    auto how = server.options();
    how.password = password("correct horse");
    auto const done = run_once(how, "anything");
    CHECK(done.out == "output\n");
    CHECK(done.err == "complaint\n");
    CHECK(done.exit_status == 4);
    CHECK(server.tried == words{"password"});
}

TEST_CASE("a wrong password is denied and not repeated elsewhere", "[ssh][auth]") {
    scripted_server server({.methods = SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_INTERACTIVE});
    auto how = server.options();
    how.password = password("wrong horse");
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::auth_denied);
    CHECK(thrown.said() == "server allows password, keyboard-interactive; tried password as ops");
    CHECK(server.tried == words{"password"});
}

TEST_CASE("the password answers the questions that do not echo where the server only asks",
          "[ssh][auth]") {
    for (int rounds : {1, 3}) {
        scripted_server server({.methods = SSH_AUTH_METHOD_INTERACTIVE, .questions = rounds});
        auto how = server.options();
        how.password = password("correct horse");
        CHECK(run_once(how, "anything").exit_status == 4);
        CHECK(server.tried == words{"keyboard-interactive"});
    }
}

TEST_CASE("a server that asks for ever is denied by us", "[ssh][auth]") {
    scripted_server server({.methods = SSH_AUTH_METHOD_INTERACTIVE, .questions = 1000});
    auto how = server.options();
    how.password = password("correct horse");
    CHECK(connect_failure(how).code() == ssh::errc::auth_denied);
}

TEST_CASE("a server that wants a key and a password gets both", "[ssh][auth]") {
    scripted_server server({.methods = SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD,
                            .key_is_not_enough = true});
    auto how = server.options();
    how.identities = {ssh::load_private_key(trawl::test::server().file("user"))};
    how.password = password("correct horse");
    CHECK(run_once(how, "anything").exit_status == 4);
    CHECK(server.tried == words{"publickey", "password"});

    how.password = nullptr;
    auto const thrown = connect_failure(how);
    CHECK(thrown.code() == ssh::errc::auth_denied);
    CHECK(thrown.said().find("accepted in part") != std::string::npos);
}

TEST_CASE("a device that never closes its channel is done at end of output and status",
          "[ssh][ending]") {
    auto const done = command_against({.close = false});
    CHECK(done.out == "output\n");
    CHECK(done.exit_status == 4);
}

TEST_CASE("a device that closes without a status has none", "[ssh][ending]") {
    auto const done = command_against({.status = false});
    CHECK(done.out == "output\n");
    CHECK(done.err == "complaint\n");
    CHECK_FALSE(done.exit_status);
    CHECK(done.exit_signal.empty());
}

TEST_CASE("output that comes after the status is all there", "[ssh][ending]") {
    bool const closes = GENERATE(false, true);
    auto const done = command_against({.close = closes, .status_first = true});
    CHECK(done.out == "output\n");
    CHECK(done.err == "complaint\n");
    CHECK(done.exit_status == 4);
}

TEST_CASE("a channel that the server opens is refused at once", "[ssh]") {
    scripted_server server({.opens_channel = true});
    auto how = server.options();
    how.password = password("correct horse");
    CHECK(run_once(how, "anything").out == "output\n");
    CHECK(server.channel_refused);
}

TEST_CASE("a close without end of output is an end too", "[ssh][ending]") {
    CHECK(command_against({.eof = false}).exit_status == 4);
}

TEST_CASE("a connection lost after status and end of output still has its answer",
          "[ssh][ending]") {
    bool const at_once = GENERATE(false, true);
    auto const done = command_against({.close = false, .hang_up = true, .at_once = at_once});
    CHECK(done.out == "output\n");
    CHECK(done.exit_status == 4);
}

TEST_CASE("a connection lost before the end of output is a failure that names the status",
          "[ssh][ending]") {
    bool const at_once = GENERATE(false, true);
    auto const thrown =
        failure_against({.eof = false, .close = false, .hang_up = true, .at_once = at_once});
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::exec);
    INFO(thrown.what());
    CHECK(std::string(thrown.what()).find("exit status 4, but its output was cut off") !=
          std::string::npos);
}

TEST_CASE("a connection lost before the status is a failure", "[ssh][ending]") {
    auto const thrown =
        failure_against({.status = false, .eof = true, .close = false, .hang_up = true});
    CHECK(thrown.code() == ssh::errc::disconnected);
    CHECK(thrown.at() == ssh::phase::exec);
}

TEST_CASE("end of output alone is no end, and the bound holds", "[ssh][ending]") {
    auto const thrown = failure_against({.status = false, .close = false});
    CHECK(thrown.code() == trawl::errc::timed_out);
}

TEST_CASE("a refused command says so", "[ssh][ending]") {
    auto const thrown = failure_against({.refuse_exec = true});
    CHECK(thrown.code() == ssh::errc::exec_failed);
    CHECK(thrown.at() == ssh::phase::exec);
}
