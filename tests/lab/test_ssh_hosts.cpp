#include "descriptors.hpp"
#include "lab_test.hpp"

#include <trawl/error.hpp>
#include <trawl/ssh.hpp>

#include <asio/completion_condition.hpp>
#include <asio/ip/tcp.hpp>

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

using namespace std::chrono_literals;
using asio::ip::tcp;
using trawl::awaitable;
using trawl::lab::fault;
using trawl::lab::world;
using trawl::test::finished;
using trawl::test::ssh;
using trawl::test::with_world;

namespace {

trawl::lab::options small(std::size_t hosts = 1) {
    trawl::lab::options options;
    options.hosts = trawl::test::addresses(hosts);
    return options;
}

} // namespace

TEST_CASE("OpenSSH runs a command with stdout, stderr and exit status apart", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const ran = co_await trawl::test::sh(ssh(lab, "'echo out; echo err >&2; exit 7'"));
        CHECK(ran.out == "out\n");
        CHECK(ran.err == "err\n");
        CHECK(ran.status == 7);
        auto const none = co_await trawl::test::sh(ssh(lab, "true"));
        CHECK(none.status == 0);
        CHECK(none.out.empty());
        CHECK(lab.stats().logins == 2);
        CHECK(lab.stats().commands == 2);
    });
}

TEST_CASE("a command reads its stdin to the end", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        std::string input(3'000'000, 'x');
        for (std::size_t i = 0; i < input.size(); i += 64) input[i] = '\n';
        auto const ran = co_await trawl::test::sh(ssh(lab, "'cat; echo end'"), input);
        CHECK(ran.status == 0);
        CHECK(ran.out.size() == input.size() + 4);
        CHECK((ran.out == input + "end\n"));
    });
}

TEST_CASE("a command that does not read its stdin is not held up by it", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const ran = co_await trawl::test::sh(ssh(lab, "'exec <&-; echo done'"),
                                                  std::string(4'000'000, 'x'));
        CHECK(ran.out == "done\n");
        CHECK(ran.status == 0);
    });
}

TEST_CASE("a shell reads its commands from stdin", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const ran = co_await trawl::test::sh(ssh(lab, "-T"), "echo from a shell\nexit 3\n");
        CHECK(ran.out == "from a shell\n");
        CHECK(ran.status == 3);
    });
}

TEST_CASE("large output arrives whole on both streams", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const line = ssh(lab, "'head -c 8000000 /dev/zero; head -c 1000000 /dev/zero >&2'");
        auto const ran = co_await trawl::test::sh(line);
        CHECK(ran.out.size() == 8'000'000);
        CHECK(ran.err.size() == 1'000'000);
        CHECK(ran.status == 0);
    });
}

TEST_CASE("a killed command is reported by its signal", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        // OpenSSH itself exits with 255 then and tells the signal with -v only.
        auto const ran = co_await trawl::test::sh(ssh(lab, "-v 'kill -TERM $$'"));
        CHECK(ran.status == 255);
        CHECK(ran.err.find("exit-signal") != std::string::npos);
    });
}

TEST_CASE("a command and its children die with their connection", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto const mark = (lab.dir() / "pids").string();
        trawl::lab::command::options what;
        what.line =
            ssh(lab, fmt::format("'sleep 300 & echo $$ $! > {0}.new; mv {0}.new {0}; wait'", mark));
        trawl::lab::command client(executor, std::move(what));
        client.start();
        while (!std::filesystem::exists(mark)) co_await trawl::sleep_for(5ms);
        pid_t shell = 0, child = 0;
        std::ifstream(mark) >> shell >> child;
        REQUIRE(shell > 0);
        REQUIRE(child > 0);
        REQUIRE(::kill(child, 0) == 0);
        client.signal(SIGKILL);
        // The child may be a zombie for a moment until init reaps it.
        auto const alive = [](pid_t pid) {
            std::ifstream file(fmt::format("/proc/{}/stat", pid));
            std::string number, name, state;
            return file >> number >> name >> state && state != "Z";
        };
        while (alive(shell) || alive(child)) co_await trawl::sleep_for(5ms);
        CHECK(::kill(shell, 0) != 0);
    });
}

TEST_CASE("the environment names the host and takes LC_ variables only", "[lab]") {
    with_world(small(2), [](world& lab) -> awaitable<> {
        auto line = ssh(lab, "-o SetEnv='LC_LAB=yes' 'echo $TRAWL_LAB_HOST $LC_LAB $USER'", 1);
        auto const ran = co_await trawl::test::sh(line);
        CHECK(ran.out == "127.7.0.2 yes " + lab.user() + "\n");
        auto const other =
            co_await trawl::test::sh(ssh(lab, "-o SetEnv='LD_LAB=yes' 'echo [$LD_LAB]'"));
        CHECK(other.out == "[]\n");
    });
}

TEST_CASE("a canned answer is given instead of running the command", "[lab]") {
    auto options = small();
    options.canned["show version"] = {.out = "Lab OS 1.0\n", .err = "beta\n", .exit_status = 4};
    options.canned["big"] = {.out = std::string(5'000'000, 'b')};
    with_world(options, [](world& lab) -> awaitable<> {
        auto const ran = co_await trawl::test::sh(ssh(lab, "show version"));
        CHECK(ran.out == "Lab OS 1.0\n");
        CHECK(ran.err == "beta\n");
        CHECK(ran.status == 4);
        auto const big = co_await trawl::test::sh(ssh(lab, "big"));
        CHECK(big.out.size() == 5'000'000);
        auto const run = co_await trawl::test::sh(ssh(lab, "echo show version"));
        CHECK(run.out == "show version\n");
    });
}

TEST_CASE("an unknown key, user or password is refused", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const key = (lab.dir() / "other").string();
        auto const made = co_await trawl::test::sh("ssh-keygen -q -t ed25519 -N '' -f " + key);
        REQUIRE(made.status == 0);
        auto stranger = ssh(lab, "true");
        stranger.replace(stranger.find(lab.key_path().string()), lab.key_path().string().size(),
                         key);
        auto const ran = co_await trawl::test::sh(stranger);
        CHECK(ran.status == 255);
        CHECK(ran.err.find("Permission denied (publickey,password)") != std::string::npos);
        auto other_user = ssh(lab, "true");
        other_user.replace(other_user.find(lab.user() + "@"), lab.user().size(), "nobody");
        auto const nobody = co_await trawl::test::sh(other_user);
        CHECK(nobody.status == 255);
        CHECK(lab.stats().logins == 0);
        CHECK(lab.stats().commands == 0);
    });
}

TEST_CASE("the password from the lab's file logs in and a wrong one does not", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const login = [&](std::string const& word_from) {
            auto const ask = (lab.dir() / "ask").string();
            std::ofstream(ask) << "#!/bin/sh\n" << word_from << "\n";
            std::filesystem::permissions(ask, std::filesystem::perms::owner_all);
            return fmt::format(
                "export SSH_ASKPASS={} SSH_ASKPASS_REQUIRE=force; exec setsid -w ssh -F /dev/null "
                "-o PubkeyAuthentication=no -o NumberOfPasswordPrompts=1 -o "
                "GlobalKnownHostsFile=/dev/null "
                "-o UserKnownHostsFile={} -o LogLevel=ERROR -p {} {}@{} 'echo in'",
                ask, lab.known_hosts_path().string(), lab.ssh_port(), lab.user(),
                lab.hosts()[0].to_string());
        };
        auto const good = co_await trawl::test::sh(login("cat " + lab.password_path().string()));
        CHECK(good.out == "in\n");
        CHECK(good.status == 0);
        auto const bad = co_await trawl::test::sh(login("echo wrong"));
        CHECK(bad.status == 255);
        CHECK(bad.out.empty());
        CHECK(lab.stats().logins == 1);
    });
}

TEST_CASE("PTY and subsystem requests are refused", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const terminal = co_await trawl::test::sh(ssh(lab, "-tt true"));
        CHECK(terminal.status == 255); // OpenSSH gives up when -t was asked for
        CHECK(terminal.err.find("PTY allocation request failed") != std::string::npos);
        auto const files = co_await trawl::test::sh(ssh(lab, "-s sftp"));
        CHECK(files.status != 0);
        CHECK(files.out.empty());
    });
}

TEST_CASE("every host has a key of its own, and known_hosts holds what ssh-keyscan sees", "[lab]") {
    with_world(small(3), [](world& lab) -> awaitable<> {
        std::string hosts;
        for (auto const& each : lab.hosts()) hosts += " " + each.to_string();
        auto const scan = co_await trawl::test::sh(fmt::format(
            "ssh-keyscan -t ed25519 -p {}{} 2>/dev/null | sort", lab.ssh_port(), hosts));
        auto const known = co_await trawl::test::sh("sort " + lab.known_hosts_path().string());
        CHECK(!known.out.empty());
        CHECK(scan.out == known.out);
        auto const distinct = co_await trawl::test::sh(
            "cut -d' ' -f3 " + lab.known_hosts_path().string() + " | sort -u | wc -l");
        CHECK(std::stoi(distinct.out) == 3);
    });
}

TEST_CASE("secrets are readable by their owner alone", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const mode = [](std::filesystem::path const& path) {
            struct stat about {};
            REQUIRE(::stat(path.c_str(), &about) == 0);
            return about.st_mode & 0777;
        };
        CHECK(mode(lab.dir()) == 0700);
        CHECK(mode(lab.key_path()) == 0600);
        CHECK(mode(lab.password_path()) == 0600);
        CHECK(trawl::test::contents(lab.key_path())
                  .starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        auto const pair = co_await trawl::test::sh("ssh-keygen -y -f " + lab.key_path().string());
        auto const published = trawl::test::contents(lab.key_path().string() + ".pub");
        CHECK(published.starts_with(pair.out.substr(0, pair.out.find('\n'))));
    });
}

TEST_CASE("an address that other machines could reach is refused", "[lab]") {
    asio::io_context io;
    for (auto const* address : {"0.0.0.0", "10.0.0.1", "192.168.1.1", "::", "2001:db8::1",
                                "126.255.255.255", "128.0.0.1"}) {
        auto options = small();
        options.hosts = {asio::ip::make_address(address)};
        try {
            world lab(io.get_executor(), options);
            FAIL("listens on " << address);
        } catch (trawl::error const& refused) {
            CHECK(refused.code() == trawl::lab::errc::not_loopback);
            CHECK(std::string(refused.what()).find(address) != std::string::npos);
        }
        options.hosts.clear();
        options.smtp_address = asio::ip::make_address(address);
        CHECK_THROWS_AS(world(io.get_executor(), options), trawl::error);
    }
}

TEST_CASE("a temporary directory goes with the world", "[lab]") {
    std::filesystem::path dir;
    with_world(small(), [&](world& lab) -> awaitable<> {
        dir = lab.dir();
        CHECK(std::filesystem::exists(dir / "known_hosts"));
        co_return;
    });
    CHECK_FALSE(std::filesystem::exists(dir));
}

TEST_CASE("a thousand hosts listen and answer", "[lab]") {
    with_world(small(1000), [](world& lab) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        std::size_t greeted = 0;
        auto const greet = [&](asio::ip::address host) -> awaitable<> {
            tcp::socket client(executor);
            tcp::endpoint const server(host, lab.ssh_port());
            co_await client.async_connect(server, asio::use_awaitable);
            std::string banner;
            auto into = asio::dynamic_buffer(banner);
            co_await asio::async_read(client, into, asio::transfer_at_least(8),
                                      asio::use_awaitable);
            if (banner.starts_with("SSH-2.0-")) ++greeted;
        };
        auto const all = [&](trawl::task_group& group) -> awaitable<> {
            for (auto const& host : lab.hosts()) group.spawn(greet(host));
            co_return;
        };
        co_await trawl::with_group(all);
        CHECK(greeted == 1000);
        auto const ran = co_await trawl::test::sh(ssh(lab, "echo '$TRAWL_LAB_HOST'", 999));
        CHECK(ran.out == "127.7.3.232\n");
    });
}

TEST_CASE("forty clients at once are all served", "[lab]") {
    with_world(small(4), [](world& lab) -> awaitable<> {
        std::string unserved;
        auto const one = [&](std::size_t number) -> awaitable<> {
            auto const line =
                ssh(lab, fmt::format("'head -c 200000 /dev/zero; exit {}'", number), number % 4);
            auto const ran = co_await trawl::test::sh(line);
            if (ran.status != static_cast<int>(number) || ran.out.size() != 200'000)
                unserved += fmt::format("{}: status {}, {} bytes, {}\n", number, ran.status,
                                        ran.out.size(), ran.err);
        };
        auto const all = [&](trawl::task_group& group) -> awaitable<> {
            for (std::size_t number = 0; number < 40; ++number) group.spawn(one(number));
            co_return;
        };
        co_await trawl::with_group(all);
        CHECK(unserved == "");
        CHECK(lab.stats().connections == 40);
    });
}

TEST_CASE("commands share a connection", "[lab]") {
    with_world(small(), [](world& lab) -> awaitable<> {
        auto const socket = lab.dir() / "ctl";
        std::string unserved;
        auto const master = [&]() -> awaitable<> {
            co_await trawl::test::sh(ssh(
                lab, fmt::format("-o ControlPath={} -o ControlMaster=yes -N", socket.string())));
        };
        auto const one = [&](int number) -> awaitable<> {
            auto const line =
                ssh(lab, fmt::format("-o ControlPath={} 'cat; exit {}'", socket.string(), number));
            auto const ran = co_await trawl::test::sh(line, std::string(100'000, 'c'));
            if (ran.status != number || ran.out.size() != 100'000)
                unserved += fmt::format("{}: status {}, {} bytes, {}\n", number, ran.status,
                                        ran.out.size(), ran.err);
        };
        auto const all = [&](trawl::task_group& group) -> awaitable<> {
            group.spawn_background(master());
            while (!std::filesystem::exists(socket)) co_await trawl::sleep_for(5ms);
            for (int number = 1; number <= 8; ++number) group.spawn(one(number));
        };
        co_await trawl::with_group(all);
        CHECK(unserved == "");
        CHECK(lab.stats().connections == 1);
    });
}

TEST_CASE("a silent client and one that talks nonsense are dropped", "[lab]") {
    auto options = small();
    options.login_grace = 300ms;
    with_world(options, [](world& lab) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto const until_closed = [&](std::string_view text) -> awaitable<std::string> {
            tcp::socket client(executor);
            tcp::endpoint const server(lab.hosts()[0], lab.ssh_port());
            co_await client.async_connect(server, asio::use_awaitable);
            asio::error_code end;
            co_await asio::async_write(client, asio::buffer(text),
                                       asio::redirect_error(asio::use_awaitable, end));
            std::string heard;
            co_await asio::async_read(client, asio::dynamic_buffer(heard),
                                      asio::redirect_error(asio::use_awaitable, end));
            co_return heard;
        };
        auto const silent = co_await until_closed("");
        CHECK(silent.starts_with("SSH-2.0-"));
        std::string const noise(100'000, '\x91');
        for (std::string_view text :
             {std::string_view("GET / HTTP/1.1\r\n\r\n"), std::string_view("SSH-1.5-old\r\n"),
              std::string_view("SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
              std::string_view(noise)})
            co_await until_closed(text);
        CHECK(lab.stats().connections == 5);
        auto const ran = co_await trawl::test::sh(ssh(lab, "echo alive"));
        CHECK(ran.out == "alive\n");
        CHECK(lab.stats().open <= 1);
    });
}

TEST_CASE("faults: refuse, hang and die cost only their own client", "[lab]") {
    auto options = small(4);
    options.faults = {{options.hosts[1], fault::refuse},
                      {options.hosts[2], fault::hang},
                      {options.hosts[3], fault::die}};
    with_world(options, [](world& lab) -> awaitable<> {
        auto const refused = co_await trawl::test::sh(ssh(lab, "true", 1));
        CHECK(refused.status == 255);
        CHECK(refused.err.find("Connection refused") != std::string::npos);
        auto const silent = co_await trawl::test::sh("timeout 1 " + ssh(lab, "true", 2).substr(5));
        CHECK(silent.status == 124);
        auto const dead =
            co_await trawl::test::sh(ssh(lab, "'echo begun; sleep 60; echo ended'", 3));
        CHECK(dead.status == 255);
        CHECK(dead.out.find("ended") == std::string::npos);
        auto const mute = co_await trawl::test::sh(ssh(lab, "true", 3));
        CHECK(mute.status == 255);
        auto const well = co_await trawl::test::sh(ssh(lab, "echo well", 0));
        CHECK(well.out == "well\n");
    });
}

TEST_CASE("trawl's own client and the lab share one loop", "[lab]") {
    auto options = small(200);
    options.faults = {{options.hosts[7], fault::refuse},
                      {options.hosts[8], fault::hang},
                      {options.hosts[9], fault::die}};
    with_world(options, [](world& lab) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        trawl::ssh::host_keys::options known;
        known.file = lab.known_hosts_path();
        trawl::ssh::options host;
        host.port = lab.ssh_port();
        host.user = lab.user();
        host.identities = {trawl::ssh::load_private_key(lab.key_path())};
        host.known = std::make_shared<trawl::ssh::host_keys>(known);
        host.timeouts.handshake = 5s;
        std::size_t good = 0;
        std::vector<std::string> failed;
        auto const one = [&](std::string address) -> awaitable<> {
            auto own = host;
            own.host = address;
            trawl::ssh::session session(executor, std::move(own));
            std::string failure;
            try {
                co_await session.connect();
                auto const ran = co_await session.exec("echo $TRAWL_LAB_HOST; echo e >&2; exit 3");
                if (ran.exit_status == 3 && ran.out == address + "\n" && ran.err == "e\n") ++good;
            } catch (trawl::ssh::failure const& e) {
                failure = fmt::format("{} {}", address, name(e.at()));
            }
            if (!failure.empty()) failed.push_back(failure);
            co_await session.disconnect();
        };
        auto const all = [&](trawl::task_group& group) -> awaitable<> {
            for (auto const& address : lab.hosts()) group.spawn(one(address.to_string()));
            co_return;
        };
        co_await trawl::with_group(all);
        std::sort(failed.begin(), failed.end());
        CHECK(good == 197);
        CHECK(failed ==
              std::vector<std::string>{"127.7.0.10 exec", "127.7.0.8 connect", "127.7.0.9 banner"});
    });
}

TEST_CASE("connections leave no descriptor behind", "[lab]") {
    auto options = small(2);
    options.faults = {{options.hosts[1], fault::die}};
    with_world(options, [](world& lab) -> awaitable<> {
        co_await trawl::test::sh(ssh(lab, "true"));
        auto const settled = [&]() -> awaitable<> { // until the client's FIN has arrived
            while (lab.stats().open > 0) co_await trawl::sleep_for(1ms);
        };
        co_await settled();
        auto const before = trawl::test::open_descriptors();
        for (int i = 0; i < 3; ++i) {
            co_await trawl::test::sh(ssh(lab, "echo x"));
            co_await trawl::test::sh(ssh(lab, "echo x", 1));
        }
        co_await settled();
        CHECK(trawl::test::open_descriptors() == before);
    });
}

TEST_CASE("the end of the world kills its commands", "[lab]") {
    auto const whole = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto options = small();
        world lab(executor, options);
        auto const mark = lab.dir() / "pid";
        finished ran;
        auto const client = [&]() -> awaitable<> {
            ran = co_await trawl::test::sh(ssh(
                lab, fmt::format("'echo $$ > {0}.new; mv {0}.new {0}; sleep 300'", mark.string())));
        };
        auto const both = [&](trawl::task_group& group) -> awaitable<> {
            group.spawn(client());
            auto const serving = [&](trawl::task_group& inner) -> awaitable<> {
                inner.spawn(lab.serve());
                while (!std::filesystem::exists(mark)) co_await trawl::sleep_for(5ms);
                inner.cancel();
            };
            co_await trawl::with_group(serving);
        };
        co_await trawl::with_group(both);
        CHECK(ran.status == 255);
        auto const pid = std::stoi(trawl::test::contents(mark));
        CHECK(::kill(pid, 0) != 0);
        CHECK(lab.stats().open == 0);
    };
    trawl::test::run(whole);
}
