#include <trawl/net.hpp>

#include <trawl/detail/parking.hpp>
#include <trawl/task_group.hpp>

#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace trawl::net {

namespace {

using asio::ip::address;
using asio::ip::tcp;

std::string text(std::string const& host, std::uint16_t port) {
    bool const v6 = host.find(':') != std::string::npos;
    return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// RFC 8305 §4: the families take turns, beginning with that of the first address. Each address
// once.
std::vector<address> in_turns(std::vector<address> const& given) {
    std::array<std::vector<address>, 2> families;
    for (auto const& one : given) {
        auto& family = families[one.is_v4() == given.front().is_v4() ? 0 : 1];
        if (std::find(family.begin(), family.end(), one) == family.end()) family.push_back(one);
    }
    std::vector<address> order;
    for (std::size_t i = 0; i < std::max(families[0].size(), families[1].size()); ++i)
        for (auto const& family : families)
            if (i < family.size()) order.push_back(family[i]);
    return order;
}

// The attempts of one connect(). Lives in its frame; the children refer to it.
struct race {
    struct attempt {
        tcp::endpoint to;
        bool begun = false;
        std::error_code failure = {};
    };
    std::vector<attempt> attempts;
    std::size_t failed = 0;
    std::error_code last_failure = {};
    std::optional<tcp::socket> winner;
    trawl::detail::waiter_list news;

    bool over() const { return winner || failed == attempts.size(); }

    std::string report() const {
        std::string lines;
        for (auto const& one : attempts) {
            if (!lines.empty()) lines += "; ";
            lines += one.to.address().to_string() + ": ";
            if (!one.begun)
                lines += "not tried";
            else
                lines += one.failure ? one.failure.message() : "no answer";
        }
        return lines;
    }
};

std::error_code prepare(tcp::socket& socket) {
    std::error_code failure;
    // A connection to a port of our own ephemeral range may meet itself when nobody listens there.
    auto const here = socket.local_endpoint(failure);
    if (!failure && here == socket.remote_endpoint(failure))
        failure = asio::error::connection_refused;
    if (!failure) socket.set_option(tcp::no_delay(true), failure);
    if (!failure) socket.native_non_blocking(true, failure);
    return failure;
}

awaitable<> try_one(race& all, race::attempt& mine) {
    auto executor = co_await asio::this_coro::executor;
    tcp::socket socket(executor);
    std::error_code failure;
    mine.begun = true;
    socket.open(mine.to.protocol(), failure);
    if (!failure) {
        auto token = asio::redirect_error(asio::use_awaitable, failure);
        co_await socket.async_connect(mine.to, token);
    }
    // Somebody else won, or the time is up.
    if (failure == asio::error::operation_aborted) trawl::detail::throw_cancelled();
    if (!failure) failure = prepare(socket);
    if (failure) {
        mine.failure = all.last_failure = failure;
        ++all.failed;
    } else if (!all.winner) {
        all.winner.emplace(std::move(socket));
    }
    all.news.wake_all();
}

// Starts the attempts one after the other and ends when one has won or all have failed.
awaitable<> run(race& all, duration stagger, task_group& group) {
    for (std::size_t i = 0; i < all.attempts.size() && !all.winner; ++i) {
        auto const failed = all.failed;
        group.spawn(try_one(all, all.attempts[i]));
        bool const last = i + 1 == all.attempts.size();
        auto const next = last ? trawl::detail::no_deadline : clock::now() + stagger;
        while (!all.over() && (last || (all.failed == failed && clock::now() < next))) {
            trawl::detail::waiter turn(all.news);
            auto const woken = co_await turn.wait(next);
            if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        }
    }
    group.cancel();
}

} // namespace

awaitable<tcp::socket> connect(std::string host, std::vector<address> addresses, std::uint16_t port,
                               options how) {
    auto const where = "connect " + text(host, port);
    if (addresses.empty()) throw error(errc::no_address, where);
    race all;
    for (auto const& one : in_turns(addresses)) all.attempts.push_back({tcp::endpoint(one, port)});

    auto body = [&](task_group& group) { return run(all, how.stagger, group); };
    // A lone address has nobody to race with.
    auto racing = all.attempts.size() == 1 ? try_one(all, all.attempts[0]) : with_group(body);
    bool const in_time = co_await within(how.timeout, std::move(racing));
    if (all.winner) co_return std::move(*all.winner);
    if (!in_time) throw error(trawl::errc::timed_out, where, all.report());
    throw error(all.last_failure, where, all.report());
}

awaitable<tcp::socket> connect(std::vector<address> addresses, std::uint16_t port, options how) {
    auto host = addresses.empty() ? std::string("nowhere") : addresses.front().to_string();
    return connect(std::move(host), std::move(addresses), port, how);
}

awaitable<tcp::socket> connect(std::vector<address> addresses, std::uint16_t port) {
    return connect(std::move(addresses), port, options());
}

} // namespace trawl::net
