#include "ssh/agent_messages.hpp"
#include "ssh/scripted_server.hpp"

#include <trawl/ssh_agent.hpp>

#include <sys/un.h>

using namespace trawl;
using namespace trawl::test;
using words = std::vector<std::string>;

// See agent_stub: a leak in libssh, which a leak checker is to pass over. It sees no further up the
// stack than the function that allocates.
extern "C" char const* __lsan_default_suppressions();
extern "C" char const* __lsan_default_suppressions() { return "leak:ssh_buffer_new\n"; }

namespace {

/// The real ssh-agent.
class agent_process {
public:
    agent_process() {
        if (!std::filesystem::exists("/usr/bin/ssh-agent")) skip("needs openssh-client");
        pid_ = spawn({"/usr/bin/ssh-agent", "-D", "-a", socket()}, folder_ / "log");
        while (!std::filesystem::exists(socket())) std::this_thread::sleep_for(10ms);
    }
    agent_process(agent_process const&) = delete;
    agent_process& operator=(agent_process const&) = delete;
    ~agent_process() {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    std::string socket() const { return (folder_ / "socket").string(); }
    void add(std::filesystem::path const& key) {
        run_program({"/usr/bin/env", "SSH_AUTH_SOCK=" + socket(), "ssh-add", "-q", key.string()},
                    folder_);
    }

private:
    scratch folder_;
    pid_t pid_ = -1;
};

/// A socket that takes connections and never answers.
class silent_agent {
public:
    silent_agent() : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        socket().copy(at.sun_path, sizeof at.sun_path - 1);
        REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
        REQUIRE(::listen(listener_, 4) == 0);
    }
    ~silent_agent() { ::close(listener_); }
    std::string socket() const { return (folder_ / "socket").string(); }

private:
    scratch folder_;
    int listener_;
};

struct kept_lines : observer {
    void log(severity, std::string_view, std::string_view text) override {
        lines.emplace_back(text);
    }
    std::vector<std::string> lines;
};

/// Logs in through the agent at `socket` only, and runs `id -u`.
ssh::completed run_with_agent(std::string const& socket, ssh::options how) {
    ssh::completed done;
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        ssh::agent::options where;
        where.socket = socket;
        where.timeout = 300ms;
        how.agent = std::make_shared<ssh::agent>(executor, where);
        ssh::session host(executor, how);
        co_await host.connect();
        done = co_await host.exec("echo in");
    };
    run(body);
    return done;
}

ssh::options without_keys(sshd const& at = server()) {
    auto how = good_options(at);
    how.identities.clear();
    return how;
}

/// A server that trusts a CA, and a key that is in nobody's authorized_keys but certified by it.
struct certified {
    certified() : at("TrustedUserCAKeys " + (folder / "ca.pub").string()) {
        keygen("ca"), keygen("key"), keygen("other");
        run_program({"/usr/bin/ssh-keygen", "-q", "-s", (folder / "ca").string(), "-I", "test",
                     "-n", sshd::user(), (folder / "key.pub").string()},
                    folder);
    }
    void keygen(std::string const& name) {
        run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                     (folder / name).string()},
                    folder);
    }
    scratch folder;
    sshd at; // reads the CA's key at a login
};

} // namespace

TEST_CASE("an agent's messages are read whole or not at all", "[ssh][auth]") {
    using namespace ssh::detail;
    ssh::agent_key const key{"ssh-x", std::string("\0\0\0\5ssh-x!", 10), "mine"};
    auto const answer = make_identities_answer(key);
    auto const keys = parse_identities_answer(answer);
    REQUIRE(keys);
    REQUIRE(keys->size() == 1);
    CHECK(keys->at(0).type == "ssh-x");
    CHECK(keys->at(0).blob == key.blob);
    CHECK(keys->at(0).comment == "mine");
    sign_request const wanted{"k", "data", 4};
    auto const request = make_sign_request(wanted);
    CHECK(parse_sign_request(request)->data == "data");
    CHECK(parse_sign_request(request)->flags == 4);
    auto const signature = make_signature_answer("s");
    CHECK(parse_signature_answer(signature) == "s");
    for (std::size_t size = 0; size < answer.size(); ++size)
        CHECK_FALSE(parse_identities_answer(answer.substr(0, size)));
    for (std::size_t size = 0; size < request.size(); ++size)
        CHECK_FALSE(parse_sign_request(request.substr(0, size)));
    for (std::size_t size = 0; size < signature.size(); ++size)
        CHECK_FALSE(parse_signature_answer(signature.substr(0, size)));
    CHECK_FALSE(parse_identities_answer(make_failure()));
    std::string_view none = "\0\0\0\1";
    CHECK_FALSE(take_frame(none));
}

TEST_CASE("a key of the agent logs in", "[ssh][auth]") {
    auto const* type = GENERATE("ed25519", "ecdsa", "rsa");
    scratch folder;
    auto const key = folder / "key";
    run_program({"/usr/bin/ssh-keygen", "-q", "-t", type, "-N", "", "-f", key.string()}, folder);
    sshd at("AuthorizedKeysFile " + key.string() + ".pub");
    agent_process agent;
    agent.add(key);
    CHECK(run_with_agent(agent.socket(), without_keys(at)).out == "in\n");
}

TEST_CASE("keys are tried one after the other, those of the agent last", "[ssh][auth]") {
    agent_process agent;
    agent.add(server().file("stranger"));
    agent.add(server().file("user"));
    auto how = without_keys();
    how.identities = {ssh::private_key(), ssh::load_private_key(server().file("stranger"))};
    CHECK(run_with_agent(agent.socket(), how).out == "in\n");
}

TEST_CASE("a refused agent is named by the number of its keys", "[ssh][auth]") {
    agent_process agent;
    agent.add(server().file("stranger"));
    auto how = without_keys();
    how.identities = {ssh::load_private_key(server().file("stranger"))};
    try {
        run_with_agent(agent.socket(), how);
        FAIL("it got in");
    } catch (ssh::failure const& denied) {
        CHECK(denied.code() == ssh::errc::auth_denied);
        CHECK(denied.said() ==
              "server allows publickey only; tried publickey with 2 keys as " + sshd::user());
    }
}

TEST_CASE("an agent that does not answer is a warning, and the loop goes on", "[ssh][auth]") {
    silent_agent agent;
    kept_lines log;
    auto how = without_keys();
    how.log = &log;
    CHECK_THROWS_AS(run_with_agent(agent.socket(), how), ssh::failure);
    REQUIRE(log.lines.size() == 1);
    CHECK(log.lines[0].find("ssh agent " + agent.socket() + ": ") == 0);
    log.lines.clear();
    CHECK_THROWS_AS(run_with_agent("/nonexistent/agent", how), ssh::failure);
    CHECK(log.lines.size() == 1);
}

TEST_CASE("a certificate logs in, from a file and from the agent", "[ssh][auth]") {
    certified here;
    auto how = without_keys(here.at);
    auto const bare = ssh::load_private_key(here.folder / "key");
    how.identities = {bare};
    CHECK(connect_failure(how).code() == ssh::errc::auth_denied);
    auto const whole = ssh::with_certificate(bare, here.folder / "key-cert.pub");
    how.identities = {whole};
    CHECK(run_once(how, "echo in").out == "in\n");
    agent_process agent;
    agent.add(here.folder / "key"); // and the certificate beside it
    CHECK(run_with_agent(agent.socket(), without_keys(here.at)).out == "in\n");
}

TEST_CASE("a certificate for another key is refused before it is used", "[ssh][auth]") {
    certified here;
    auto const other = ssh::load_private_key(here.folder / "other");
    auto const code_of = [&](char const* file) {
        try {
            ssh::with_certificate(other, here.folder / file);
        } catch (error const& bad) {
            return bad.code();
        }
        return std::error_code();
    };
    CHECK(code_of("key-cert.pub") == ssh::errc::bad_certificate);
    CHECK(code_of("key.pub") == ssh::errc::bad_certificate);
    CHECK(code_of("none") == std::errc::no_such_file_or_directory);
}

TEST_CASE("a callback answers the server's questions", "[ssh][auth]") {
    scripted_server at({.methods = SSH_AUTH_METHOD_INTERACTIVE});
    auto how = at.options();
    ssh::questions seen;
    how.answer = [&](ssh::questions asked) -> awaitable<std::vector<net::secret>> {
        seen = asked;
        co_await sleep_for(20ms);
        std::vector<net::secret> given;
        given.emplace_back(std::string("correct horse"));
        given.emplace_back();
        co_return given;
    };
    CHECK(run_once(how, "anything").exit_status == 4);
    CHECK(seen.name == "login");
    REQUIRE(seen.all.size() == 2);
    CHECK(seen.all[0].text == "Password: ");
    CHECK_FALSE(seen.all[0].echo);
    CHECK(seen.all[1].echo);
    CHECK(at.tried == words{"keyboard-interactive"});
}

TEST_CASE("a callback that does not answer in time fails the login", "[ssh][auth]") {
    scripted_server at({.methods = SSH_AUTH_METHOD_INTERACTIVE});
    auto how = at.options();
    how.timeouts.auth = 200ms;
    how.answer = [](ssh::questions) -> awaitable<std::vector<net::secret>> {
        co_await sleep_for(60s);
        co_return std::vector<net::secret>();
    };
    auto const late = connect_failure(how);
    CHECK(late.code() == trawl::errc::timed_out);
    CHECK(late.at() == ssh::phase::auth);
}
