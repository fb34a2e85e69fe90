#include "descriptors.hpp"
#include "lab/lab.hpp"
#include "ssh/behind_proxy.hpp"

#include <trawl/limiter.hpp>
#include <trawl/sftp.hpp>

#include <cmath>
#include <cstdlib>
#include <random>
#include <set>

using namespace trawl;
using namespace trawl::test;
using kind = faulty_proxy::kind;
using fault = faulty_proxy::fault;
using tcp = asio::ip::tcp;

namespace {

struct tally {
    std::size_t whole = 0, failed = 0, timed_out = 0;
};

/// Makes one visit and counts how it ends.
awaitable<> counted(awaitable<> visit, tally& sum) {
    try {
        co_await std::move(visit);
        ++sum.whole;
    } catch (trawl::error const& thrown) {
        ++sum.failed;
        sum.timed_out += thrown.code() == trawl::errc::timed_out;
    }
}

/// One session from its connection to its end; a whole one has the whole answer.
awaitable<> ask(ssh::options how, std::string command, std::string answer) {
    ssh::session host(co_await asio::this_coro::executor, how);
    co_await host.connect();
    auto const done = co_await host.exec(std::move(command));
    CHECK(done.exit_status == 0);
    CHECK((done.out == answer)); // not printed
}

awaitable<> attempt(ssh::options how, std::string command, std::string answer, tally& sum) {
    co_await counted(ask(std::move(how), std::move(command), std::move(answer)), sum);
}

/// Faults by chance, anywhere from the banner to behind the end; as often in the first 100 bytes as
/// in the next 1,000.
class misfortune {
public:
    explicit misfortune(unsigned seed) : chance_(seed) {}
    bool on = false;

    fault next() {
        if (!on) return {};
        std::uniform_real_distribution<> digits(0, 4.8);
        fault made;
        made.what = static_cast<kind>(chance_() % 4);
        made.to_client = chance_() % 3 != 0;
        made.after = static_cast<std::size_t>(std::pow(10, digits(chance_)));
        return made;
    }

private:
    std::mt19937 chance_;
};

/// Many visits, 32 at once, through a proxy that spoils them: all end, and all that was open is
/// closed.
class campaign {
public:
    using tour = std::function<awaitable<>(ssh::options)>;

    explicit campaign(std::size_t visits) : visits_(visits), chance_(20'261'127) {}

    /// `served`: what the proxy leads to; `login`: how to get in there, by the proxy's port;
    /// `at_rest`: there as well.
    awaitable<> run(tcp::endpoint served, std::function<ssh::options(std::uint16_t)> login,
                    tour visit, std::function<bool()> at_rest) {
        faulty_proxy proxy(co_await asio::this_coro::executor, served,
                           [this] { return chance_.next(); });
        auto const quiet = [&] { return proxy.open() == 0 && at_rest(); };
        auto how = login(proxy.port());
        how.timeouts.handshake = how.timeouts.auth = how.timeouts.exec = 1s;
        auto scene = [&](task_group& group) -> awaitable<> {
            group.spawn_background(proxy.serve());
            co_await counted(visit(how), sum_); // opens what stays open
            CHECK(sum_.whole == 1);
            co_await until(quiet);
            auto const before = open_descriptors();
            chance_.on = true;
            co_await all_visits(visit, how);
            co_await until(quiet);
            CHECK(open_descriptors() == before);
            CHECK(quiet());
        };
        co_await with_group(scene);
        CHECK(sum_.whole + sum_.failed == visits_ + 1);
        CHECK(sum_.whole > 1); // the bounds of a second cut off many more on a busy machine
        CHECK(sum_.failed > visits_ / 8);
        CHECK(sum_.timed_out > 0);
        CHECK(proxy.flipped() > 0);
    }

private:
    awaitable<> all_visits(tour visit, ssh::options how) {
        limiter places(32);
        auto all = [&](task_group& group) -> awaitable<> {
            for (std::size_t i = 0; i < visits_; ++i) {
                auto place = co_await places.acquire();
                group.spawn(one(visit(how), std::move(place)));
            }
        };
        co_await with_group(all);
    }

    awaitable<> one(awaitable<> visit, [[maybe_unused]] limiter::ticket place) {
        co_await counted(std::move(visit), sum_);
    }

    /// The servers notice the ends a moment later.
    static awaitable<> until(std::function<bool()> quiet) {
        for (int i = 0; i < 1000 && !quiet(); ++i) co_await sleep_for(10ms);
    }

    std::size_t visits_;
    misfortune chance_;
    tally sum_;
};

/// `few` in the suite, which has to end soon; with TRAWL_LONG=N `share` percent of N visits, of
/// 100,000 if N is 1.
std::size_t visits(std::size_t few, std::size_t share) {
    char const* const wanted = std::getenv("TRAWL_LONG");
    if (!wanted) return few;
    auto const all = std::strtoul(wanted, nullptr, 10);
    return std::max(few, (all > 1 ? all : 100'000) * share / 100);
}

/// Runs a campaign against sshd.
void campaign_at(sshd const& at, std::size_t visits, campaign::tour visit) {
    campaign many(visits);
    auto const login = [&](std::uint16_t proxy) { return through(proxy, at); };
    auto body = [&]() -> awaitable<> {
        tcp::endpoint const target(asio::ip::address_v4::loopback(), at.port());
        co_await many.run(target, login, visit, [] { return true; });
    };
    run(body, visits > 1000 ? std::chrono::seconds(7200) : 60s);
}

} // namespace

TEST_CASE("sessions that are cut, stalled or spoilt end in time, and leave nothing open",
          "[ssh][campaign]") {
    auto const sessions = visits(200, 80);
    std::string const answer = std::string(30'000, 'a') + "end\n";
    campaign many(sessions);
    auto body = [&]() -> awaitable<> {
        lab::options served;
        served.hosts = {asio::ip::make_address("127.7.11.1")};
        served.canned["answer"].out = answer;
        served.login_grace = 2s;
        lab::world world(co_await asio::this_coro::executor, std::move(served));
        auto const login = [&](std::uint16_t proxy) {
            ssh::options how{.host = "127.0.0.1"};
            how.port = proxy;
            how.user = world.user();
            how.identities = {ssh::load_private_key(world.key_path())};
            how.known = std::make_shared<ssh::host_keys>();
            auto const line = read_text(world.known_hosts_path());
            auto const key = line.substr(line.find(' ') + 1);
            how.known->parse(known_hosts_line(proxy, key), "lab");
            return how;
        };
        auto const visit = [&](ssh::options how) { return ask(std::move(how), "answer", answer); };
        auto const at_rest = [&] { return world.stats().open == 0; };
        auto scene = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            tcp::endpoint const target(world.hosts().front(), world.ssh_port());
            co_await many.run(target, login, visit, at_rest);
        };
        co_await with_group(scene);
    };
    run(body, sessions > 1000 ? std::chrono::seconds(7200) : 60s);
}

TEST_CASE("copies whose connections are cut, stalled or spoilt end in time, and leave nothing open",
          "[sftp][campaign]") {
    scratch folder;
    std::string const bytes(20'000, 'b');
    write_text(folder / "here", bytes);
    std::size_t number = 0;
    auto const visit = [&](ssh::options how) -> awaitable<> {
        auto const name = std::to_string(number++);
        ssh::session host(co_await asio::this_coro::executor, how);
        co_await host.connect();
        sftp::options patient;
        patient.timeout = 1s;
        auto files = co_await sftp::open(host, patient);
        auto const there = (folder / ("there" + name)).string();
        auto const back = folder / ("back" + name);
        co_await files.put(folder / "here", there);
        co_await files.get(there, back);
        CHECK((read_text(back) == bytes));
        auto const attrs = co_await files.stat(there);
        CHECK(attrs.size == bytes.size());
        co_await files.remove(there);
        std::filesystem::remove(back);
    };
    campaign_at(server(), visits(50, 10), visit);
}

TEST_CASE("sessions through others that are cut, stalled or spoilt end in time, and leave nothing "
          "open",
          "[ssh][jump][campaign]") {
    // Both the jump and what goes through it are spoilt.
    auto const visit = [](ssh::options how) -> awaitable<> {
        auto const jump = std::make_shared<ssh::session>(co_await asio::this_coro::executor, how);
        co_await jump->connect();
        how.jump = jump;
        auto both = [&](task_group& group) -> awaitable<> {
            for (int i = 0; i < 2; ++i) group.spawn(ask(how, "echo behind", "behind\n"));
            co_return;
        };
        co_await with_group(both);
    };
    campaign_at(server(), visits(50, 10), visit);
}

TEST_CASE("a bit that was flipped on the way is refused under every cipher", "[ssh][faults]") {
    for (std::string const cipher :
         {"Ciphers chacha20-poly1305@openssh.com", "Ciphers aes256-gcm@openssh.com",
          "Ciphers aes128-gcm@openssh.com",
          "Ciphers aes256-ctr\nMACs hmac-sha2-256-etm@openssh.com",
          "Ciphers aes192-ctr\nMACs hmac-sha2-512", "Ciphers aes128-ctr\nMACs hmac-sha2-256"}) {
        INFO(cipher);
        sshd const at(cipher);
        std::size_t byte = 0;
        tally sum;
        auto next = [&] { return fault{byte ? kind::flip : kind::none, true, byte}; };
        auto body = [&](ssh::options how, faulty_proxy& proxy) -> awaitable<> {
            std::string const answer(400'000, '\0'), command = "head -c 400000 /dev/zero";
            how.timeouts.idle = 2s; // a length that was spoilt asks for more than will come
            co_await attempt(how, command, answer, sum);
            CHECK(sum.whole == 1);
            for (byte = 100'000; byte < 100'050; byte += 7)
                co_await attempt(how, command, answer, sum);
            CHECK(proxy.flipped() == 8);
            CHECK(sum.timed_out <= 1);
        };
        behind_proxy(at, next, body);
        CHECK(sum.whole == 1);
        CHECK(sum.failed == 8);
    }
}

TEST_CASE("a connection that is cut at any byte fails in a phase, or was done", "[ssh][faults]") {
    std::size_t byte = 0;
    std::set<ssh::phase> seen;
    std::size_t whole = 0;
    auto next = [&] { return fault{kind::cut, true, byte}; };
    auto body = [&](ssh::options how, faulty_proxy&) -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        for (; byte < 12'000 && whole < 2; byte += 1 + byte / 40) {
            ssh::session host(executor, how);
            try {
                co_await host.connect();
                auto const done = co_await host.exec("echo x");
                CHECK(done.out == "x\n");
                ++whole;
            } catch (ssh::failure const& thrown) {
                INFO(thrown.what());
                CHECK(thrown.code() != trawl::errc::timed_out);
                seen.insert(thrown.at());
            }
        }
    };
    behind_proxy(server(), next, body);
    CHECK(whole == 2);
    for (auto const at : {ssh::phase::banner, ssh::phase::key_exchange, ssh::phase::auth,
                          ssh::phase::channel, ssh::phase::exec}) {
        INFO(ssh::name(at));
        CHECK(seen.count(at) == 1);
    }
}

TEST_CASE("keys are renewed in the middle of output and of copies", "[ssh][sftp][faults]") {
    sshd const often("RekeyLimit 256K");
    scratch folder;
    std::string bytes(3'000'000, '\0');
    std::mt19937 chance(7);
    for (auto& c : bytes) c = static_cast<char>(chance());
    write_text(folder / "here", bytes);
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options(often));
        co_await host.connect();
        ssh::exec_options roomy;
        roomy.max_output = 4'000'000;
        roomy.input = bytes;
        auto const done = co_await host.exec("cat", roomy);
        CHECK((done.out == bytes));
        auto files = co_await sftp::open(host);
        co_await files.put(folder / "here", (folder / "there").string());
        co_await files.get((folder / "there").string(), folder / "back");
    };
    run(body, 60s);
    CHECK((read_text(folder / "there") == bytes));
    CHECK((read_text(folder / "back") == bytes));
}

TEST_CASE("a copy whose connection stalls or is cut leaves no file and ends in time",
          "[sftp][faults]") {
    for (auto const how_spoilt : {kind::stall, kind::cut})
        for (bool const up : {true, false}) {
            scratch folder;
            write_text(folder / "here", std::string(8'000'000, 'x'));
            auto next = [&] { return fault{how_spoilt, !up, 1'000'000}; };
            auto body = [&](ssh::options how, faulty_proxy&) -> awaitable<> {
                ssh::session host(co_await asio::this_coro::executor, how);
                co_await host.connect();
                sftp::options patient;
                patient.timeout = 500ms;
                auto files = co_await sftp::open(host, patient);
                std::optional<std::error_code> why;
                auto const here = (folder / "here").string(), there = (folder / "there").string();
                try {
                    if (up)
                        co_await files.put(here, there);
                    else
                        co_await files.get(here, there);
                } catch (trawl::error const& thrown) {
                    why = thrown.code();
                }
                REQUIRE(why);
                if (how_spoilt == kind::stall)
                    CHECK(*why == trawl::errc::timed_out);
                else
                    CHECK(*why == ssh::errc::disconnected);
            };
            behind_proxy(server(), next, body);
            CHECK_FALSE(std::filesystem::exists(folder / "there"));
        }
}
