#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/execution/blocking.hpp>
#include <asio/execution/context.hpp>
#include <asio/execution/outstanding_work.hpp>
#include <asio/execution_context.hpp>
#include <asio/query.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace trawl::detail {

/// The time of a turn, and what earlier ones took beyond theirs: deficit round robin (Shreedhar and
/// Varghese, SIGCOMM 1995) for a line in which nobody knows beforehand how long he takes.
class turn_account {
public:
    explicit turn_account(duration turn) noexcept : turn_(turn) {}

    /// A turn begins, shorter by what is owed; false: it is passed, because more than a turn is owed.
    bool begin(time_point now) noexcept;
    bool over(time_point now) const noexcept { return now >= until_; }
    void end(time_point now) noexcept;

    /// Turns that one may cost at most: beyond that the thread has lost its core to others, which is
    /// nobody's debt.
    static constexpr int most_owed = 4;

private:
    duration turn_, owed_{};
    time_point until_{};
};

/// Something that stands in line.
class share_job {
public:
    virtual ~share_job() = default;
    virtual void call() = 0;
};

/// The line of a share.
///
///     push ──> queue ──> run: a turn ──┬── empty: rests
///                         ^            │
///                         └─ the loop ─┴── else: posted again
///
/// While the line is not empty, a posted function or a running turn stands for it: a context that is
/// destroyed destroys that function, and the function what stands in line.
class share_state : public std::enable_shared_from_this<share_state> {
public:
    share_state(asio::any_io_executor on, duration turn) : inner_(std::move(on)), account_(turn) {}
    share_state(share_state const&) = delete;
    share_state& operator=(share_state const&) = delete;

    asio::any_io_executor const& inner() const noexcept { return inner_; }
    void push(std::unique_ptr<share_job> one);
    /// Whether the calling thread is in a turn of this share.
    bool running_here() const noexcept { return runs_in_.load() == std::this_thread::get_id(); }
    /// This state; as long as somebody has it, the context has work.
    std::shared_ptr<share_state> tracked();

private:
    struct runner;
    void post();
    void run();
    void go_on() noexcept;
    void abandon() noexcept;
    std::unique_ptr<share_job> next();

    asio::any_io_executor const inner_;
    turn_account account_; // of the runner alone
    std::atomic<std::thread::id> runs_in_{};
    std::mutex mutex_;
    std::deque<std::unique_ptr<share_job>> queue_;
    bool posted_ = false; // or running
    std::weak_ptr<void> work_;
};

/// What Asio asks of an executor, for any_io_executor.
class share_executor {
public:
    explicit share_executor(std::shared_ptr<share_state> state) noexcept
        : state_(std::move(state)) {}

    asio::any_io_executor const& inner() const noexcept { return state_->inner(); }

    template <class Function>
    void execute(Function f) const {
        struct job final : share_job {
            explicit job(Function&& g) : function(std::move(g)) {}
            void call() override { function(); }
            Function function;
        };
        if (may_block_ && state_->running_here())
            f();
        else
            state_->push(std::make_unique<job>(std::move(f)));
    }

    friend bool operator==(share_executor const& a, share_executor const& b) noexcept {
        return a.state_.get() == b.state_.get();
    }

    asio::execution_context& query(asio::execution::context_t) const {
        return asio::query(inner(), asio::execution::context);
    }
    asio::execution::blocking_t query(asio::execution::blocking_t) const noexcept {
        if (may_block_) return asio::execution::blocking.possibly;
        return asio::execution::blocking.never;
    }
    asio::execution::outstanding_work_t query(asio::execution::outstanding_work_t) const noexcept {
        if (tracked_) return asio::execution::outstanding_work.tracked;
        return asio::execution::outstanding_work.untracked;
    }
    share_executor require(asio::execution::blocking_t::possibly_t) const noexcept {
        return {state_, true, tracked_};
    }
    share_executor require(asio::execution::blocking_t::never_t) const noexcept {
        return {state_, false, tracked_};
    }
    share_executor require(asio::execution::outstanding_work_t::tracked_t) const {
        return {tracked_ ? state_ : state_->tracked(), may_block_, true};
    }
    share_executor require(asio::execution::outstanding_work_t::untracked_t) const {
        return {state_->shared_from_this(), may_block_, false};
    }

private:
    share_executor(std::shared_ptr<share_state> state, bool may_block, bool tracked) noexcept
        : state_(std::move(state)), may_block_(may_block), tracked_(tracked) {}

    // With both flags no larger than what any_io_executor holds without an allocation.
    std::shared_ptr<share_state> state_;
    bool may_block_ = true, tracked_ = false;
};

} // namespace trawl::detail
