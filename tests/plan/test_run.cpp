#include "lab/lab.hpp"
#include "test.hpp"

#include <trawl/plan.hpp>
#include <trawl/task_group.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

using namespace std::chrono_literals;
using namespace trawl;

namespace fs = std::filesystem;

namespace {

struct scratch {
    scratch() {
        char name[] = "/tmp/trawl-plan-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~scratch() { fs::remove_all(path); }
    fs::path path;
};

struct collector final : plan::listener {
    void host(plan::host_result const& result) override {
        ++seen[result.target];
        hosts[result.target] = result;
    }
    void archive(std::string const& name, backup::report const& made) override {
        archives[name] = made;
    }
    void archive_failed(std::string const& name, std::string const& why) override {
        failed_archives[name] = why;
    }
    void mailed(smtp::receipt const& sent) override { receipt = sent; }

    std::map<std::string, int> seen;
    std::map<std::string, plan::host_result> hosts;
    std::map<std::string, backup::report> archives;
    std::map<std::string, std::string> failed_archives;
    smtp::receipt receipt;
};

std::vector<asio::ip::address> addresses(unsigned n) {
    std::vector<asio::ip::address> all;
    for (unsigned i = 0; i < n; ++i)
        all.push_back(asio::ip::make_address_v4(0x7f070100u + i)); // 127.7.1.0
    return all;
}

std::string name_of(unsigned i) { return "127.7.1." + std::to_string(i); }

/// A job for `n` hosts of `world`, without backup and mail.
plan::job job_for(lab::world const& world, unsigned n) {
    plan::job job;
    job.sweep.emplace();
    job.sweep->targets.add("127.7.1.0-" + std::to_string(n - 1));
    job.ssh.emplace();
    job.ssh->user = world.user();
    job.ssh->port = world.ssh_port();
    job.ssh->identity = world.key_path();
    job.ssh->known_hosts = world.known_hosts_path();
    job.ssh->commands = {"echo out; echo err >&2", "exit 3"};
    return job;
}

std::string read_all(fs::path const& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace

TEST_CASE("the main job: every host one record, a backup meanwhile, one mailed report", "[plan]") {
    scratch place;
    fs::create_directories(place.path / "source");
    std::ofstream(place.path / "source/file") << "content";
    offload_pool cpu(offload_pool::options{2, "cpu", nullptr}),
        blocking(offload_pool::options{1, "io", nullptr});
    collector results;
    plan::summary totals;
    std::string mail;
    test::run([&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        lab::options options;
        options.hosts = addresses(20);
        options.faults = {{options.hosts[3], lab::fault::refuse},
                          {options.hosts[5], lab::fault::hang}};
        lab::world world(executor, options);
        auto job = job_for(world, 20);
        job.ssh->timeout = 1s;
        job.backups.emplace_back();
        job.backups[0].source = place.path / "source";
        job.backups[0].destination = place.path / "backups";
        job.backups.push_back(job.backups[0]);
        job.backups[1].source = place.path / "missing";
        job.mail.emplace();
        job.mail->host = world.smtp_address().to_string();
        job.mail->port = world.smtp_port();
        job.mail->from = "ops@example.org";
        job.mail->to = {"admin@example.org", "refused@example.org"};
        plan::runner runner(job, plan::runner::services{cpu, blocking, results});
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            co_await runner.run();
            totals = runner.totals();
            for (auto const& file : fs::directory_iterator(world.maildir() / "new"))
                mail += read_all(file.path());
        };
        co_await with_group(body);
    });
    CHECK(results.seen.size() == 20);
    for (auto const& [target, count] : results.seen) CHECK(count == 1);
    CHECK(totals.targets == 20);
    CHECK(totals.ok == 18);
    CHECK(totals.failed == 2);
    CHECK(totals.ok + totals.failed + totals.down + totals.unreachable + totals.unknown ==
          totals.targets);
    CHECK(totals.commands == 36);
    CHECK(totals.commands_failed == 18);
    auto const& good = results.hosts[name_of(0)];
    REQUIRE(good.commands.size() == 2);
    CHECK(good.status == plan::status::ok);
    CHECK(good.rtt.has_value());
    CHECK(good.commands[0].end.out == "out\n");
    CHECK(good.commands[0].end.err == "err\n");
    CHECK(good.commands[1].end.exit_status == 3);
    CHECK(results.hosts[name_of(3)].error_phase == "connect");
    CHECK(results.hosts[name_of(5)].error_code == "timed_out");
    CHECK(results.archives.size() == 1);
    CHECK(results.archives["source"].made == backup::kind::full);
    CHECK(results.failed_archives.size() == 1);
    CHECK(totals.archives == 1);
    CHECK(totals.archives_failed == 1);
    REQUIRE(results.receipt.recipients.size() == 2);
    CHECK(results.receipt.recipients[0].status == smtp::status::accepted);
    CHECK(results.receipt.recipients[1].status == smtp::status::refused);
    CHECK(mail.find("18 ok, 2 failed") != std::string::npos);
}

TEST_CASE("a host that dies in the middle of a command costs only itself", "[plan]") {
    offload_pool cpu(offload_pool::options{1, "cpu", nullptr});
    collector results;
    test::run([&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        lab::options options;
        options.hosts = addresses(4);
        options.faults = {{options.hosts[1], lab::fault::die}};
        lab::world world(executor, options);
        plan::runner runner(job_for(world, 4), plan::runner::services{cpu, cpu, results});
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            co_await runner.run();
        };
        co_await with_group(body);
        auto const totals = runner.totals();
        CHECK(totals.ok == 3);
        CHECK(totals.failed == 1);
    });
    CHECK(results.hosts[name_of(1)].status == plan::status::failed);
    auto const phase =
        results.hosts[name_of(1)].error_phase; // of the first command, or of the next one
    CHECK((phase == "exec" || phase == "channel"));
}

TEST_CASE("a cancelled run leaves totals that add up, at any moment", "[plan]") {
    for (auto delay : {0ms, 5ms, 30ms, 100ms, 250ms}) {
        offload_pool cpu(offload_pool::options{1, "cpu", nullptr});
        collector results;
        plan::summary totals;
        asio::io_context io(1);
        asio::cancellation_signal stop;
        std::string end;
        lab::options options;
        options.hosts = addresses(30);
        lab::world world(io.get_executor(), options);
        auto job = job_for(world, 30);
        job.ssh->commands = {"sleep 30"};
        plan::runner runner(job, plan::runner::services{cpu, cpu, results});
        auto body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            co_await runner.run();
        };
        auto all = [&]() -> awaitable<> { co_await with_group(body); };
        asio::co_spawn(io, all(),
                       asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr e) {
                           end = is_cancelled(e) ? "cancelled" : describe(e);
                           totals = runner.totals();
                       }));
        auto stopper = [&]() -> awaitable<> {
            co_await sleep_for(delay);
            stop.emit(asio::cancellation_type::terminal);
        };
        asio::co_spawn(io, stopper(), [](std::exception_ptr) {});
        auto const began = clock::now();
        io.run_for(20s);
        CHECK(end == "cancelled");
        CHECK(clock::now() - began < 10s);
        CHECK(totals.targets == 30);
        CHECK(totals.ok + totals.failed + totals.down + totals.unreachable + totals.unknown == 30);
    }
}

TEST_CASE("a key file that is missing stops the run before anything is sent", "[plan]") {
    offload_pool cpu(offload_pool::options{1, "cpu", nullptr});
    collector results;
    std::string what;
    test::run([&]() -> awaitable<> {
        plan::job job;
        job.sweep.emplace();
        job.sweep->targets.add("127.7.1.1");
        job.ssh.emplace();
        job.ssh->identity = "/nonexistent/id_ed25519";
        plan::runner runner(job, plan::runner::services{cpu, cpu, results});
        try {
            co_await runner.run();
        } catch (std::system_error const& e) {
            what = e.what();
        }
    });
    CHECK(what.find("/nonexistent/id_ed25519") != std::string::npos);
    CHECK(results.hosts.empty());
}

TEST_CASE("mail that cannot be delivered is a result", "[plan]") {
    scratch place;
    fs::create_directories(place.path / "source");
    offload_pool cpu(offload_pool::options{1, "cpu", nullptr});
    collector results;
    plan::summary totals;
    test::run([&]() -> awaitable<> {
        plan::job job;
        job.backups.emplace_back();
        job.backups[0].source = place.path / "source";
        job.backups[0].destination = place.path / "backups";
        job.mail.emplace();
        job.mail->port = 1; // nobody listens
        job.mail->from = "ops@example.org";
        job.mail->to = {"admin@example.org"};
        plan::runner runner(job, plan::runner::services{cpu, cpu, results});
        co_await runner.run();
        totals = runner.totals();
    });
    CHECK(totals.archives == 1);
    CHECK(totals.mails_failed == 1);
    REQUIRE(results.receipt.recipients.size() == 1);
    CHECK(results.receipt.recipients[0].status == smtp::status::deferred);
    CHECK_FALSE(results.receipt.recipients[0].text.empty());
}
