#include "dns/engine.hpp"

#include <trawl/error.hpp>

#include <algorithm>

namespace trawl::dns::detail {

namespace {

constexpr auto resolution_delay = std::chrono::milliseconds(50); // RFC 8305 §3

void check(trawl::detail::wake woken) {
    if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
}

} // namespace

/// A coroutine that uses the engine. The last one to leave ends the questions that nobody waits for
/// any more, which closes the sockets.
class engine::visit {
public:
    explicit visit(std::shared_ptr<engine> to) : to_(std::move(to)) { ++to_->visits_; }
    visit(visit const&) = delete;
    visit& operator=(visit const&) = delete;
    ~visit() {
        if (--to_->visits_ > 0) return;
        for (auto const& server : to_->servers_) server->cancel();
    }

private:
    std::shared_ptr<engine> to_;
};

engine::engine(asio::any_io_executor executor, resolver::options const& how)
    : configuration_(configuration::read(how)),
      search_(how.search), how_{how.timeout, std::clamp(how.tries, 1, 16), how.deadline},
      window_(how.in_flight), cache_(how.cached) {
    for (auto const& where : configuration_.servers)
        servers_.push_back(std::make_unique<upstream>(executor, where, how));
}

void engine::close() noexcept {
    for (auto const& server : servers_) server->close();
    closed_ = true;
    window_.close();
}

awaitable<answer> engine::ask(std::shared_ptr<engine> over, std::string name, type wanted) {
    auto& self = *over;
    if (self.cache_.size() > 0)
        if (auto known = self.cache_.find(name, wanted, clock::now())) co_return std::move(*known);
    visit const visiting(over);
    auto place = self.window_.try_enter();
    if (!place) {
        auto waited_for = co_await self.window_.enter();
        place.emplace(std::move(waited_for));
    }
    trawl::detail::waiter_list ready;
    lookup one(self.servers_, self.how_, *place, ready, name, wanted);
    while (!self.closed_ && !one.advance(clock::now())) {
        trawl::detail::waiter turn(ready);
        auto const woken = co_await turn.wait(one.due());
        check(woken);
    }
    if (self.closed_ || one.closed()) throw error(errc::closed, "dns " + name);
    self.cache_.put(name, wanted, one.result(), one.ended_at());
    co_return std::move(one.result());
}

awaitable<engine::families> engine::ask_both(std::shared_ptr<engine> over, std::string name) {
    auto& self = *over;
    visit const visiting(over);
    auto place = self.window_.try_enter();
    if (!place) {
        auto waited_for = co_await self.window_.enter();
        place.emplace(std::move(waited_for));
    }
    trawl::detail::waiter_list ready;
    lookup v4(self.servers_, self.how_, *place, ready, name, type::a);
    lookup v6(self.servers_, self.how_, *place, ready, name, type::aaaa);
    for (auto [one, wanted] : {std::pair(&v4, type::a), {&v6, type::aaaa}})
        if (auto known = self.cache_.find(name, wanted, clock::now()))
            one->finish(std::move(*known));
    while (!self.closed_) {
        auto const now = clock::now();
        bool const v4_ended = v4.advance(now), v6_ended = v6.advance(now);
        if (v6_ended && v4_ended) break;
        auto due = v4_ended ? v6.due() : v6_ended ? v4.due() : std::min(v4.due(), v6.due());
        if (v4_ended && !v4.result().values.empty()) {
            auto const patience = v4.ended_at() + resolution_delay;
            if (now >= patience) break;
            due = std::min(due, patience);
        }
        trawl::detail::waiter turn(ready);
        auto const woken = co_await turn.wait(due);
        check(woken);
    }
    v6.expire();
    if (self.closed_ || v4.closed() || v6.closed()) throw error(errc::closed, "dns " + name);
    self.cache_.put(name, type::a, v4.result(), v4.ended_at());
    self.cache_.put(name, type::aaaa, v6.result(), v6.ended_at());
    families both{std::move(v4.result()), std::move(v6.result())};
    co_return both;
}

std::vector<std::string> engine::candidates(std::string const& name) const {
    if (is_exact(name)) return {name};
    std::vector<std::string> names;
    bool const absolute = std::count(name.begin(), name.end(), '.') >= configuration_.dots;
    if (absolute) names.push_back(name);
    for (auto const& domain : configuration_.search)
        if (auto longer = name + "." + domain; is_name(longer)) names.push_back(longer);
    if (!absolute) names.push_back(name);
    return names;
}

} // namespace trawl::dns::detail
