#pragma once

#include "plan.hpp"
#include "sweep.hpp"

#include <trawl/limiter.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/ssh.hpp>
#include <trawl/task_group.hpp>

#include <memory>
#include <string>
#include <utility>

namespace ssh = trawl::ssh;

/// What one host said.
struct answer {
    std::string host, text;
    bool well = false;
};

using answers = trawl::queue<answer>;

/// What all sessions have in common. Key and record are files: read on the pool, not on the loop.
inline awaitable<ssh::options> login(plan const& p, trawl::offload_pool& blocking) {
    ssh::options how;
    how.user = p.user;
    how.port = p.ssh_port;
    auto const load_key = [&p] { return ssh::load_private_key(p.key); };
    how.identities.push_back(co_await blocking.run(load_key));
    auto const load_record = [&p] {
        ssh::host_keys::options record;
        record.file = p.known_hosts;
        return std::make_shared<ssh::host_keys>(record);
    };
    how.known = co_await blocking.run(load_record); // strict: who is not in it is refused
    co_return how;
}

/// Runs one command on one host. Whatever becomes of the host is its answer.
inline awaitable<> inspect(ssh::options how, std::string command, trawl::limiter::ticket,
                           answers& out) {
    auto executor = co_await asio::this_coro::executor;
    answer told;
    told.host = how.host;
    try {
        ssh::session session(executor, how);
        co_await session.connect();
        auto const end = co_await session.exec(std::move(command));
        co_await session.disconnect();
        told.well = end.exit_status == 0;
        told.text = end.out + end.err;
    } catch (ssh::failure const& e) {
        if (trawl::is_cancelled(e)) throw;
        told.text = std::string(e.what()) + "\n";
    }
    co_await out.push(std::move(told));
}

/// Inspects the hosts as they come, 100 at a time, and closes `out` behind the last answer.
inline awaitable<> inspect_all(hosts& up, ssh::options how, std::string command, answers& out) {
    trawl::limiter in_flight(100);
    auto const fan_out = [&](trawl::task_group& group) -> awaitable<> {
        while (auto host = co_await up.pop()) {
            auto place = co_await in_flight.acquire();
            how.host = host->to_string();
            group.spawn(inspect(how, command, std::move(place), out));
        }
    };
    co_await trawl::with_group(fan_out);
    out.close();
}
