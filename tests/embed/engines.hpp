#pragma once

#include "dns/name_server.hpp"
#include "lab/lab.hpp"
#include "test.hpp"

#include <trawl/backup.hpp>
#include <trawl/dns.hpp>
#include <trawl/icmp.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/smtp.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace trawl::test {

/// A folder with something to save in `source`, gone with this object.
struct scratch {
    std::filesystem::path path;
    scratch() {
        auto name = (std::filesystem::temp_directory_path() / "trawl-embed-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        path = name;
        std::filesystem::create_directory(path / "source");
        for (int i = 0; i < 50; ++i)
            std::ofstream(path / "source" / std::to_string(i))
                << std::string(10'000, char('a' + i % 26));
    }
    scratch(scratch const&) = delete;
    ~scratch() { std::filesystem::remove_all(path); }
};

/// Every engine of the library at work, against peers on loopback in the same process: what a
/// service has on its executor. Each adds a word to `said` when it has done its part.
class engines {
public:
    /// Called when the engines exist, when each has done its part, and when they are gone.
    using look = std::function<void(std::string const& phase)>;

    engines(offload_pool& pool, look at) : pool_(pool), at_(std::move(at)) {}

    /// On the executor of its caller, which runs one handler at a time.
    awaitable<> run() {
        co_await work();
        at_("gone");
    }

    /// "dns", "icmp", "ssh" (of two hosts), "smtp", "backup", in the order of their ends.
    std::vector<std::string> const& said() const { return said_; }

    /// Pings only where the machine permits it; the other engines need no right.
    static bool may_ping() {
        bool may = true;
        auto const probe = [&]() -> awaitable<> {
            icmp::pinger pinger(co_await asio::this_coro::executor);
            try {
                co_await pinger.probe(asio::ip::address_v4::loopback());
            } catch (error const& e) {
                may = e.code() != icmp::errc::not_permitted;
            }
        };
        test::run(probe);
        return may;
    }

private:
    awaitable<> work() {
        auto executor = co_await asio::this_coro::executor;
        lab::options options;
        options.hosts = {asio::ip::make_address("127.7.3.1"), asio::ip::make_address("127.7.3.2")};
        options.dir = folder_.path / "lab";
        options.canned["uptime"].out = "up\n";
        options.starter = &pool_;
        lab::world world(executor, options);
        name_server names(executor, [](name_server::query const& asked) {
            name_server::reply answer;
            if (asked.type == name_server::a)
                answer.records = {name_server::address(asked.name, "127.7.3.1")};
            return answer;
        });
        auto const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            names.start(group);
            at_("serving");
            group.spawn(resolve(names.where()));
            group.spawn(ping());
            for (auto const& host : world.hosts()) group.spawn(log_in(world, host));
            group.spawn(mail(world));
            group.spawn(save());
            co_return;
        };
        co_await with_group(body);
    }

    void done(std::string what) {
        at_(what);
        said_.push_back(std::move(what));
    }

    awaitable<> resolve(std::string server) {
        dns::resolver::options options;
        options.servers = {std::move(server)};
        options.hosts.clear();
        options.search = false;
        dns::resolver resolver(co_await asio::this_coro::executor, options);
        auto const found = co_await resolver.addresses("host.example.org");
        if (found.size() == 1) done("dns");
    }

    awaitable<> ping() {
        if (!may_ping_) {
            done("icmp");
            co_return;
        }
        icmp::pinger pinger(co_await asio::this_coro::executor);
        if (co_await pinger.probe(asio::ip::address_v4::loopback())) done("icmp");
    }

    awaitable<> log_in(lab::world const& world, asio::ip::address host) {
        ssh::options options;
        options.host = host.to_string();
        options.port = world.ssh_port();
        options.user = world.user();
        options.identities = {ssh::load_private_key(world.key_path())};
        ssh::host_keys::options record;
        record.file = world.known_hosts_path();
        options.known = std::make_shared<ssh::host_keys>(record);
        ssh::session session(co_await asio::this_coro::executor, options);
        co_await session.connect();
        auto const answer = co_await session.exec("uptime");
        co_await session.disconnect();
        if (answer.out == "up\n") done("ssh");
    }

    awaitable<> mail(lab::world const& world) {
        smtp::options options;
        options.addresses.push_back(world.smtp_address());
        options.port = world.smtp_port();
        options.tls = smtp::tls::none;
        mime::message letter;
        letter.from("a@example.org").to("b@example.org").subject("a letter").text("hello\n");
        smtp::client client(co_await asio::this_coro::executor, std::move(options));
        auto const receipt = co_await client.send(std::move(letter));
        co_await client.quit();
        if (receipt.recipients.size() == 1) done("smtp");
    }

    awaitable<> save() {
        backup::options options;
        options.source = folder_.path / "source";
        options.destination = folder_.path / "saved";
        auto const made = co_await backup::run(pool_, options);
        if (made.errors.empty() && made.entries >= 50) done("backup");
    }

    offload_pool& pool_;
    look at_;
    scratch folder_;
    std::vector<std::string> said_;
    bool const may_ping_ = may_ping();
};

} // namespace trawl::test
