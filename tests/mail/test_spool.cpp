// Messages that wait on disk (src/mail/spool): what becomes of them, and processes that are killed.
#include "mail/spool_world.hpp"

#include <trawl/mutex.hpp>

#include <cstdlib>
#include <ctime>
#include <random>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using namespace trawl::smtp::detail;
using smtp::status;
namespace fs = std::filesystem;

TEST_CASE("a message that everybody takes leaves the spool", "[mail]") {
    run_spool([](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
        auto one = message({"x@d.example", "y@d.example"});
        auto const name = co_await spool.put(std::move(one));
        auto const waiting = co_await spool.size();
        CHECK(waiting == 1);
        auto const sent = co_await spool.attempt(name, direct);
        REQUIRE(sent);
        CHECK(outcome(*sent) == "x@d.example accepted 2.0.0; y@d.example accepted 2.0.0");
        CHECK(sent->message_id == "<1@b.example>");
        CHECK(here.host.messages.size() == 1);
        for (auto const* part : {"tmp", "queue", "failed", "corrupt"}) CHECK(here.files(part) == 0);
        auto const again = co_await spool.attempt(name, direct);
        CHECK_FALSE(again);
        auto const permissions = fs::status(here.how.folder).permissions();
        CHECK((permissions & (fs::perms::group_all | fs::perms::others_all)) == fs::perms::none);
    });
}

TEST_CASE("a deferred recipient is tried again when it is due, and no other", "[mail]") {
    bool later = true;
    auto const says = [&](std::string const& line) {
        if (line.starts_with("RCPT TO:<z")) return "550 5.1.1 nobody"s;
        return later && line.starts_with("RCPT TO:<y") ? "450 4.2.1 later"s : ""s;
    };
    run_spool(
        [&](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
            auto one = message({"x@d.example", "y@d.example", "z@d.example"});
            auto const name = co_await spool.put(std::move(one));
            auto const sent = co_await spool.attempt(name, direct);
            REQUIRE(sent);
            CHECK(outcome(*sent) == "x@d.example accepted 2.0.0; y@d.example deferred 4.2.1; "
                                    "z@d.example refused 5.1.1");
            std::vector<std::string> seen;
            auto const note = [&](std::string const& which, smtp::receipt const& what) {
                CHECK(which == name);
                seen.push_back(outcome(what));
            };
            here.time += 299;
            co_await spool.flush(direct, 4, note);
            CHECK(seen.empty());
            here.time += 1;
            co_await spool.flush(direct, 4, note);
            CHECK(seen == std::vector<std::string>{"y@d.example deferred 4.2.1"});
            later = false;
            here.time += 600;
            co_await spool.flush(direct, 4, note);
            CHECK(seen.back() == "y@d.example accepted 2.0.0");
            CHECK(here.host.messages.size() == 2);
            // Somebody was refused: the record stays for whoever looks.
            CHECK(here.files("queue") == 0);
            REQUIRE(here.files("failed") == 1);
            auto const record = read_file(here.how.folder / "failed" / name);
            CHECK(record.find("answer 2 refused 550 5.1.1 nobody") != std::string::npos);
        },
        says);
}

TEST_CASE("a message that has waited five days is given up", "[mail]") {
    run_spool(
        [](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
            auto one = message({"x@d.example"});
            auto const name = co_await spool.put(std::move(one));
            std::vector<std::string> seen;
            auto const note = [&](std::string const&, smtp::receipt const& what) {
                seen.push_back(outcome(what) + ": " + what.recipients.at(0).text);
            };
            for (int rounds = 0; here.files("queue") == 1 && rounds < 100; ++rounds) {
                co_await spool.flush(direct, 1, note);
                here.time += 4 * 3600;
            }
            CHECK(seen.size() == 31);
            CHECK(seen.front() == "x@d.example deferred 4.3.2: not now");
            CHECK(seen.back() == "x@d.example refused 5.4.7: given up after 31 attempts: not now");
            CHECK(here.files("failed") == 1);
        },
        [](std::string const& line) {
            return line.starts_with("MAIL") ? "451 4.3.2 not now"s : ""s;
        });
}

TEST_CASE("an unknown outcome is kept and never sent again", "[mail]") {
    run_spool(
        [](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
            auto one = message({"x@d.example", "x@gone.example"});
            auto const name = co_await spool.put(std::move(one));
            auto const sent = co_await spool.attempt(name, direct);
            REQUIRE(sent);
            CHECK(outcome(*sent) == "x@d.example unknown; x@gone.example refused 5.1.2");
            CHECK(here.files("queue") == 0);
            CHECK(here.files("failed") == 1);
            auto const connections = here.host.connections;
            here.time += 86400;
            co_await spool.flush(direct, 1, nobody);
            CHECK(here.host.connections == connections);
        },
        [](std::string const& line) { return line == "." ? "close"s : ""s; });
}

TEST_CASE("a transaction that a dead process had begun is unknown, the rest is sent", "[mail]") {
    run_spool([](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
        auto one = message({"x@d.example", "y@d.example"});
        auto const name = co_await spool.put(std::move(one));
        std::ofstream(here.how.folder / "queue" / name, std::ios::app | std::ios::binary)
            << sending_line({0}) << "answer 0 acc";
        std::vector<std::string> seen;
        auto const note = [&](std::string const&, smtp::receipt const& what) {
            seen.push_back(outcome(what));
        };
        here.time = std::time(nullptr) + 10; // the file was written just now
        co_await spool.flush(direct, 1, note);
        CHECK(seen == std::vector<std::string>{"x@d.example unknown; y@d.example accepted 2.0.0"});
        REQUIRE(here.host.messages.size() == 1);
        CHECK(here.host.messages[0].to == std::vector<std::string>{"y@d.example"});
        CHECK(here.files("failed") == 1);
    });
}

TEST_CASE("files that are no messages are moved aside and named", "[mail]") {
    listener ears;
    run_spool([&](world& here, smtp::spool&, smtp::direct& direct) -> awaitable<> {
        here.how.watch = &ears;
        here.time = std::time(nullptr) + 10;
        offload_pool files(offload_pool::options{.threads = 1});
        smtp::spool spool(files, here.how);
        auto one = message({"x@d.example"});
        auto const name = co_await spool.put(std::move(one));
        auto const queue = here.how.folder / "queue";
        write_file(queue / "empty", "");
        write_file(queue / "noise", std::string(100'000, 'x'));
        auto torn = read_file(queue / name);
        torn[torn.size() - 2] ^= 1;
        write_file(queue / "torn", torn);
        fs::create_directory(queue / "folder");
        fs::create_symlink("/etc/passwd", queue / "link");
        REQUIRE(::mkfifo((queue / "pipe").c_str(), 0600) == 0);
        co_await spool.flush(direct, 3, nobody);
        CHECK(here.files("queue") == 0);
        CHECK(here.files("corrupt") == 6);
        CHECK(ears.heard.size() == 6);
        for (auto const& line : ears.heard) CHECK(line.find("/corrupt/") != std::string::npos);
        CHECK(here.host.messages.size() == 1);
        auto const outside = co_await spool.attempt("../queue/x", direct);
        CHECK_FALSE(outside);
    });
}

TEST_CASE("a message that another process is sending is left to it", "[mail]") {
    run_spool([](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
        auto one = message({"x@d.example"});
        auto const name = co_await spool.put(std::move(one));
        {
            auto const held = file_lock::try_acquire(here.how.folder / "queue" / name);
            REQUIRE(held);
            auto const sent = co_await spool.attempt(name, direct);
            CHECK_FALSE(sent);
            CHECK(here.host.messages.empty());
        }
        auto const sent = co_await spool.attempt(name, direct);
        CHECK(sent);
    });
}

TEST_CASE("leftovers of dead writers are removed when they are old", "[mail]") {
    run_spool([](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
        write_file(here.how.folder / "tmp" / "half", "trawl spool 1\n");
        here.time = std::time(nullptr) + 60;
        co_await spool.flush(direct, 1, nobody);
        CHECK(here.files("tmp") == 1);
        here.time += 2 * 3600;
        co_await spool.flush(direct, 1, nobody);
        CHECK(here.files("tmp") == 0);
    });
}

TEST_CASE("a spool that cannot be made or written says which file", "[mail]") {
    temporary_folder folder;
    write_file(folder.path / "file", "");
    offload_pool files(offload_pool::options{.threads = 1});
    smtp::spool_options how;
    how.folder = folder.path / "file";
    CHECK_THROWS_AS(smtp::spool(files, how), error);
    how.folder = folder.path / "no" / "such";
    try {
        smtp::spool spool(files, how);
        FAIL("it was made");
    } catch (error const& e) {
        CHECK(std::string(e.what()).find("/no/such: No such file or directory") !=
              std::string::npos);
    }
}

// Each round a process puts three messages into a spool and sends what is there; it is killed at a
// random moment, and the next round goes on with what it left.
TEST_CASE("a spool whose sender is killed again and again loses and repeats nothing", "[mail]") {
    int const rounds = std::getenv("TRAWL_LONG") ? 500 : 25;
    std::mt19937 random(7);
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor);
        here.how.now = std::chrono::system_clock::now;
        here.host.pause = 1ms;
        std::set<std::string>
            kept; // numbers of messages that were on disk when their process was killed
        auto const put_and_flush = [&](int round) {
            auto const inner = [&]() -> awaitable<> {
                auto own = co_await asio::this_coro::executor;
                offload_pool files(offload_pool::options{.threads = 1});
                dns::resolver resolver(own, here.resolver_options);
                smtp::direct direct(own, resolver, here.direct);
                smtp::spool spool(files, here.how);
                for (int i = 0; i < 3; ++i) {
                    auto one = message({"x@d.example"},
                                       "Subject: " + std::to_string(1000 + round * 3 + i) +
                                           "\r\n\r\nok\r\n");
                    co_await spool.put(std::move(one));
                }
                co_await spool.flush(direct, 2, nobody);
            };
            test::run(inner);
        };
        auto const look = [&] { // at what is in the spool
            for (auto const* part : {"queue", "failed"})
                for (auto const& file : fs::directory_iterator(here.how.folder / part))
                    kept.insert(read_entry(read_file(file.path())).entry.text.substr(9, 4));
        };
        auto const body = [&](task_group& group) -> awaitable<> {
            here.names.server.start(group);
            here.host.start(group);
            offload_pool files(offload_pool::options{.threads = 1});
            smtp::spool spool(files, here.how);
            for (int round = 0; round < rounds; ++round) {
                auto const child = ::fork();
                REQUIRE(child >= 0);
                if (child == 0) {
                    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                    try {
                        put_and_flush(round);
                    } catch (...) {
                        ::_exit(1);
                    }
                    ::_exit(0);
                }
                co_await sleep_for(std::chrono::microseconds(random() % 120'000));
                ::kill(child, SIGKILL);
                ::waitpid(child, nullptr, 0);
                look();
            }
            dns::resolver resolver(executor, here.resolver_options);
            smtp::direct direct(executor, resolver, here.direct);
            co_await spool.flush(direct, 4, nobody);
            co_await direct.quit();
        };
        co_await with_group(body);

        std::multiset<std::string> delivered;
        for (auto const& one : here.host.messages) delivered.insert(one.text.substr(9, 4));
        std::set<std::string> unknown;
        for (auto const& file : fs::directory_iterator(here.how.folder / "failed")) {
            auto const read = read_entry(read_file(file.path())).entry;
            CHECK(states(read) == "unknown");
            unknown.insert(read.text.substr(9, 4));
        }
        std::string twice, lost;
        for (auto const& which : std::set<std::string>(delivered.begin(), delivered.end()))
            if (delivered.count(which) > 1) twice += which + ' ';
        for (auto const& which : kept)
            if (!delivered.count(which) && !unknown.count(which)) lost += which + ' ';
        CHECK(twice.empty());
        CHECK(lost.empty());
        CHECK(here.files("queue") == 0);
        CHECK(here.files("corrupt") == 0);
        INFO("delivered " << delivered.size() << ", unknown " << unknown.size());
        CHECK_FALSE(delivered.empty());
    };
    test::run(main, 300s);
}
