#include "icmp/state.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace trawl::icmp {
namespace {

// Sending pauses at this many results and echoes that nobody has taken, and goes on at half of it.
constexpr std::size_t most_results = 1024;
// Results that a caller gets without a look at the clock: what it does with each, a line of output
// for instance, takes 1 to 10 us. After so long other handlers run.
constexpr unsigned most_in_a_row = 64;
constexpr duration longest_row = std::chrono::microseconds(200);

detail::plan plan_of(sweep::options const& o) {
    assert((o.count >= 1 || o.every_echo) && o.rate >= 0 && o.backoff >= 1);
    return {.timeout = o.timeout,
            .retries = o.count == 1 ? o.retries : 0,
            .backoff = o.backoff,
            .count = o.count,
            .interval = o.interval,
            .rate = o.rate,
            .every_echo = o.every_echo,
            .unread = most_results};
}

result to_result(detail::outcome const& done) {
    result r{.address = done.target.address(),
             .position = done.tag,
             .status = done.status,
             .rtt = {},
             .sent = done.sent,
             .received = done.received,
             .why = done.why};
    if (done.received > 0) r.rtt = done.rtt;
    return r;
}

} // namespace

struct sweep::state final : detail::source, detail::listener {
    state(std::shared_ptr<pinger::state> of, targets::list const& addresses, options const& o)
        : owner(std::move(of)), walk(addresses, o.order), skip(o.skip),
          lane(owner->engine.open(plan_of(o), this)) {
        count.targets = walk.size();
        owner->listeners.push_back(this);
    }
    ~state() {
        std::erase(owner->listeners, this);
        owner->engine.close(lane);
        owner->settle();
    }

    static awaitable<bool> ready(std::shared_ptr<state> self);
    std::optional<result> take();
    bool row_is_over() noexcept;

    std::optional<item> next_target() override;
    void notify() override {
        if (asker && (waiting() > 0 || ended())) asker->signal();
    }
    void wake() override {
        if (asker) asker->signal();
    }
    void drop_echoes() noexcept {
        while (!lane.echoes.empty()) lane.echoes.pop();
    }
    std::size_t waiting() const { return lane.unread(); }
    bool ended() const { return exhausted && lane.active() == 0 && waiting() == 0; }

    std::shared_ptr<pinger::state> owner;
    targets::cursor walk;
    std::function<bool(std::uint64_t)> skip;
    detail::lane& lane;
    totals count;
    bool exhausted = false;
    bool begun = false; // sending begins with the first question
    detail::waiter* asker = nullptr;
    unsigned taken = 0;     // since the last look at the clock
    time_point row_began{}; // when others last had their turn
};

std::optional<detail::source::item> sweep::state::next_target() {
    if (!begun || exhausted) return std::nullopt;
    while (auto next = walk.next()) {
        auto const position = walk.position() - 1;
        if (next->address && !(skip && skip(position)))
            return item{detail::host(*next->address), position};
        --count.targets;
    }
    exhausted = true;
    return std::nullopt;
}

std::optional<result> sweep::state::take() {
    if (lane.outcomes.empty()) return std::nullopt;
    ++taken;
    auto const done = to_result(lane.outcomes.pop());
    switch (done.status) {
    case status::up: ++count.up; break;
    case status::down: ++count.down; break;
    case status::unreachable: ++count.unreachable; break;
    case status::unknown: ++count.unknown; break;
    }
    return done;
}

bool sweep::state::row_is_over() noexcept {
    if (taken < most_in_a_row) return false;
    taken = 0;
    return clock::now() - row_began >= longest_row;
}

/// True when there is a result to take, false at the end.
awaitable<bool> sweep::state::ready(std::shared_ptr<state> self) {
    self->owner->require_any();
    if (self->row_is_over()) {
        co_await yield();
        self->row_began = clock::now();
    }
    for (;;) {
        if (!std::exchange(self->begun, true)) {
            self->lane.feed();
            self->owner->kick();
        }
        if (self->lane.resumes()) self->owner->kick();
        if (self->waiting() > 0) co_return true;
        if (self->ended()) co_return false;
        self->owner->check();
        struct place {
            explicit place(state& s) : of(s) {
                assert(!of.asker && "one caller at a time");
                of.asker = &self;
            }
            ~place() { of.asker = nullptr; }
            state& of;
            detail::waiter self;
        } here(*self);
        if (co_await here.self.wait() == detail::wake::cancelled) detail::throw_cancelled();
        self->row_began = clock::now();
    }
}

sweep::sweep(pinger& with, targets::list addresses)
    : sweep(with, std::move(addresses), options{}) {}

sweep::sweep(pinger& with, targets::list addresses, options configuration) {
    if (addresses.has_names() && !configuration.skip_names)
        throw error(trawl::errc::bad_target, "icmp sweep",
                    "a name among the targets: resolve it first");
    state_ = std::make_shared<state>(with.state_, addresses, configuration);
}

sweep::~sweep() = default;

awaitable<std::optional<result>> sweep::next() {
    auto const self = state_;
    while (co_await state::ready(self)) {
        self->drop_echoes();
        if (auto found = self->take()) co_return found;
    }
    co_return std::nullopt;
}

awaitable<std::optional<result>> sweep::next_up() {
    auto const self = state_;
    while (co_await state::ready(self)) {
        self->drop_echoes();
        auto found = self->take();
        if (found && found->status == status::up) co_return found;
    }
    co_return std::nullopt;
}

awaitable<std::vector<result>> sweep::next_batch() {
    auto const self = state_;
    std::vector<result> batch;
    while (batch.empty() && co_await state::ready(self)) {
        self->drop_echoes();
        batch.reserve(std::min<std::size_t>(self->waiting(), most_in_a_row));
        while (batch.size() < most_in_a_row) {
            auto found = self->take();
            if (!found) break;
            batch.push_back(*found);
        }
    }
    co_return batch;
}

awaitable<sweep::events> sweep::next_events() {
    auto const self = state_;
    events happened;
    if (co_await state::ready(self)) {
        auto const full = [&] {
            return happened.echoes.size() + happened.results.size() >= most_in_a_row;
        };
        for (; !self->lane.echoes.empty() && !full(); ++self->taken)
            happened.echoes.push_back(detail::to_echo(self->lane.echoes.pop()));
        // A target's result never comes before its echoes.
        while (self->lane.echoes.empty() && !full()) {
            auto found = self->take();
            if (!found) break;
            happened.results.push_back(*found);
        }
    }
    co_return happened;
}

sweep::totals sweep::progress() const noexcept { return state_->count; }

} // namespace trawl::icmp
