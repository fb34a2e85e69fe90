// What jobs do: the toolkit at work, without a word about HTTP.
#include "job.hpp"
#include "records.hpp"

#include <trawl/limiter.hpp>

#include <asio/this_coro.hpp>

#include <algorithm>
#include <utility>

namespace icmp = trawl::icmp;
namespace ssh = trawl::ssh;
using trawl::awaitable;

namespace service {

using emit = std::function<awaitable<>(boost::json::object)>;

awaitable<> work_on(sweep_spec const& what, toolkit const& with, emit out) {
    icmp::sweep::options how;
    how.rate = what.rate;
    how.timeout = what.timeout;
    how.retries = what.retries;
    icmp::sweep sweep(with.pinger, what.targets, how);
    while (auto host = co_await sweep.next()) co_await out(record_of(*host));
}

namespace {

/// The options of every session but whom to connect to.
awaitable<ssh::options> login(ssh_spec const& what, toolkit const& with) {
    ssh::options how;
    how.user = what.user;
    how.known = with.known;
    how.log = &with.watch;
    how.timeouts.connect = how.timeouts.handshake = how.timeouts.auth = what.timeout;
    auto const file = with.keys / what.key;
    auto const load = [&file] { return ssh::load_private_key(file); }; // blocks: not on the loop
    how.identities.push_back(co_await with.blocking.run(load));
    co_return how;
}

/// One command on one host. What becomes of the host is a record, never an exception.
awaitable<boost::json::object> inspect(trawl::targets::target host, ssh::options how,
                                       std::string command, trawl::dns::resolver& resolver) {
    auto executor = co_await asio::this_coro::executor;
    how.host = host.host();
    if (host.port) how.port = *host.port;
    try {
        if (!host.address) how.addresses = co_await resolver.addresses(host.name);
        ssh::session session(executor, how);
        co_await session.connect();
        auto const end = co_await session.exec(std::move(command));
        co_await session.disconnect();
        co_return record_of(host, end);
    } catch (ssh::failure const& e) {
        if (trawl::is_cancelled(e)) throw;
        co_return record_of(host, e);
    } catch (trawl::error const& e) { // nobody knows the name
        if (trawl::is_cancelled(e)) throw;
        ssh::failure const why(e.code(), ssh::phase::resolve, host.to_string(), e.said());
        co_return record_of(host, why);
    }
}

} // namespace

awaitable<> work_on(ssh_spec const& what, toolkit const& with, emit out) {
    auto how = co_await login(what, with);
    how.port = what.port;
    trawl::limiter in_flight(what.jobs);
    auto const one = [&](trawl::targets::target host, trawl::limiter::ticket) -> awaitable<> {
        auto record = co_await inspect(std::move(host), how, what.command, with.resolver);
        co_await out(std::move(record));
    };
    auto const fan_out = [&](trawl::task_group& group) -> awaitable<> {
        trawl::targets::cursor walk(what.targets);
        while (auto host = walk.next()) {
            auto place = co_await in_flight.acquire();
            group.spawn(one(std::move(*host), std::move(place)));
        }
    };
    co_await trawl::with_group(fan_out);
}

} // namespace service
