#include <trawl/fair_share.hpp>

#include "async/fair_share.hpp"

#include <asio/post.hpp>
#include <asio/prefer.hpp>

#include <algorithm>
#include <cassert>

namespace trawl {
namespace detail {

// ---- turn_account ----

bool turn_account::begin(time_point now) noexcept {
    if (owed_ >= turn_) {
        owed_ -= turn_;
        return false;
    }
    until_ = now + turn_ - std::exchange(owed_, {});
    return true;
}

void turn_account::end(time_point now) noexcept {
    owed_ = std::clamp(now - until_, duration::zero(), turn_ * most_owed);
}

// ---- share_state ----

/// Stands for the line in the context's own.
struct share_state::runner {
    explicit runner(std::shared_ptr<share_state> s) noexcept : of(std::move(s)) {}
    runner(runner&&) noexcept = default;
    ~runner() {
        if (of) of->abandon();
    }
    void operator()() { std::exchange(of, nullptr)->run(); }

    std::shared_ptr<share_state> of;
};

void share_state::push(std::unique_ptr<share_job> one) {
    {
        std::lock_guard const lock(mutex_);
        queue_.push_back(std::move(one));
        if (std::exchange(posted_, true)) return;
    }
    post();
}

void share_state::post() { asio::post(inner_, runner(shared_from_this())); }

void share_state::run() {
    struct at_exit { // also when a job throws: the others stand in line still
        share_state& line;
        ~at_exit() { line.go_on(); }
    } const at_exit{*this};
    if (!account_.begin(clock::now())) return;
    runs_in_ = std::this_thread::get_id();
    while (auto const one = next()) {
        one->call();
        if (account_.over(clock::now())) break;
    }
}

void share_state::go_on() noexcept {
    if (running_here()) {
        runs_in_ = std::thread::id();
        account_.end(clock::now());
    }
    {
        std::lock_guard const lock(mutex_);
        posted_ = !queue_.empty();
        if (!posted_) return;
    }
    post();
}

std::unique_ptr<share_job> share_state::next() {
    std::lock_guard const lock(mutex_);
    if (queue_.empty()) return nullptr;
    auto one = std::move(queue_.front());
    queue_.pop_front();
    return one;
}

/// What a job leaves behind may stand in line in its turn.
void share_state::abandon() noexcept {
    for (;;) {
        while (next()) {
        }
        std::lock_guard const lock(mutex_);
        posted_ = !queue_.empty();
        if (!posted_) return;
    }
}

std::shared_ptr<share_state> share_state::tracked() {
    struct work {
        std::shared_ptr<share_state> of;
        asio::any_io_executor guard;
    };
    std::lock_guard const lock(mutex_);
    auto kept = work_.lock();
    if (!kept) {
        auto guard = asio::prefer(inner_, asio::execution::outstanding_work.tracked);
        kept = std::make_shared<work>(work{shared_from_this(), std::move(guard)});
        work_ = kept;
    }
    return {std::move(kept), this};
}

} // namespace detail

fair_share::fair_share(asio::any_io_executor on, duration turn)
    : state_(std::make_shared<detail::share_state>(std::move(on), turn)) {
    assert(turn > duration::zero());
}

asio::any_io_executor fair_share::executor() const { return detail::share_executor(state_); }

} // namespace trawl
