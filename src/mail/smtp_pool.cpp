#include <trawl/limiter.hpp>
#include <trawl/smtp.hpp>
#include <trawl/task_group.hpp>

#include "mail/smtp_connection.hpp"

#include <algorithm>

namespace trawl::smtp {

using detail::connection;
using detail::destination;
using detail::make_job;

/// Connections before the first has been greeted: the backlog of some servers holds no more.
constexpr std::size_t at_first = 5;

struct pool::state {
    state(asio::any_io_executor on, smtp::options options, pool_options with)
        : executor(std::move(on)), how(with), to(std::make_shared<destination>(std::move(options))),
          places(std::max<std::size_t>(1, with.connections)) {
        if (how.per_second > 0) pace.emplace(how.per_second);
        while (places.in_use() + at_first < places.limit())
            withheld.push_back(places.try_acquire());
    }

    /// The server took one: another may try, so that as many as at first are on their way.
    void grow() {
        if (!withheld.empty()) withheld.pop_back();
    }
    awaitable<receipt> send(detail::job_ptr one);

    asio::any_io_executor executor;
    pool_options how;
    std::shared_ptr<destination> to;
    std::optional<pacer> pace;
    limiter places; ///< connections
    std::vector<limiter::ticket> withheld;
    std::vector<std::unique_ptr<connection>> idle;
};

pool::pool(asio::any_io_executor executor, smtp::options options, pool_options how)
    : state_(std::make_unique<state>(std::move(executor), std::move(options), how)) {}
pool::~pool() = default;

awaitable<receipt> pool::state::send(detail::job_ptr one) {
    auto const place = co_await places.acquire();
    if (pace) co_await pace->turn();
    std::unique_ptr<connection> with;
    if (idle.empty())
        with = std::make_unique<connection>(executor, to);
    else
        with = std::move(idle.back()), idle.pop_back();
    bool const fresh = !with->open();
    auto done = co_await with->send(std::move(one));
    if (fresh) grow();
    if (with->open()) idle.push_back(std::move(with));
    co_return done;
}

awaitable<receipt> pool::send(outgoing one) { return state_->send(make_job(std::move(one))); }
awaitable<receipt> pool::send(mime::message letter) {
    return send(outgoing::of(std::move(letter)));
}

awaitable<> pool::send_all(queue<outgoing>& from,
                           std::function<void(std::uint64_t, receipt)> done) {
    auto& self = *state_;
    auto& to = *self.to;
    std::function<void()> more; // called for each connection that stands
    auto work = [&](limiter::ticket place) -> awaitable<> {
        (void)place;
        std::unique_ptr<connection> with;
        if (self.idle.empty())
            with = std::make_unique<connection>(self.executor, self.to);
        else
            with = std::move(self.idle.back()), self.idle.pop_back();
        auto* const pace = self.pace ? &*self.pace : nullptr;
        co_await with->send_all(from, done, pace, self.how.messages, more);
        if (with->open()) self.idle.push_back(std::move(with));
    };
    auto const body = [&](task_group& group) -> awaitable<> {
        auto const start = [&] {
            auto place = self.places.try_acquire();
            if (!place) return;
            group.spawn(work(std::move(place)));
        };
        more = [&, start] {
            self.grow();
            for (int i = 0; i < 2; ++i)
                if (!from.empty() || !to.returned.empty()) start();
        };
        for (std::size_t i = 0; i < at_first; ++i) start();
        co_return;
    };
    co_await with_group(body);
}

awaitable<> pool::quit() {
    auto ending = std::move(state_->idle);
    auto const body = [&](task_group& group) -> awaitable<> {
        for (auto& one : ending) group.spawn(one->quit());
        co_return;
    };
    co_await with_group(body);
}

} // namespace trawl::smtp
