#include "async/parking.hpp"

#include "async/fair_share.hpp"

#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <asio/strand.hpp>
#include <asio/system_error.hpp>

#include <cassert>
#include <typeinfo>

namespace trawl::detail {
namespace {

void resume(park_handler handler, wake reason) {
    auto executor = asio::get_associated_executor(handler);
    asio::post(executor,
               [handler = std::move(handler), reason]() mutable { std::move(handler)(reason); });
}

/// As executor.target<T>(), which Asio 1.22 hands out without a look at the type.
template <class T>
T const* as(asio::any_io_executor const& executor) {
    return executor.target_type() == typeid(T) ? executor.target<T>() : nullptr;
}

/// The io_context behind an executor, a strand or a share of it; null for every other kind of context.
asio::io_context* io_context_of(asio::any_io_executor const& executor) {
    using direct = asio::io_context::executor_type;
    if (auto* plain = as<direct>(executor)) return &plain->context();
    if (auto* strand = as<asio::strand<direct>>(executor))
        return &strand->get_inner_executor().context();
    if (auto* strand = as<asio::strand<asio::any_io_executor>>(executor))
        return io_context_of(strand->get_inner_executor());
    if (auto* share = as<share_executor>(executor)) return io_context_of(share->inner());
    return nullptr;
}

} // namespace

void throw_cancelled() { throw asio::system_error(asio::error::operation_aborted); }

// ---- waiter and its list: touched on the owner's executor only ----

waiter::waiter(waiter_list& list) noexcept : list_(&list), before_(list.last_) {
    (before_ ? before_->after_ : list.first_) = this;
    list.last_ = this;
}

waiter::~waiter() {
    assert(!handler_ && "a parked frame is destroyed through its handler only");
    unlink();
}

void waiter::unlink() noexcept {
    if (!list_) return;
    (before_ ? before_->after_ : list_->first_) = after_;
    (after_ ? after_->before_ : list_->last_) = before_;
    list_ = nullptr;
}

void waiter::start(park_handler handler, std::chrono::steady_clock::time_point deadline,
                   bool cancellable) {
    auto executor = asio::get_associated_executor(handler);
    home_ = &asio::use_service<parking>(asio::query(executor, asio::execution::context));
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (cancellable && slot.is_connected())
        slot.assign([this](asio::cancellation_type) { home_->claim(*this, wake::cancelled); });
    home_->park(*this, std::move(handler), deadline);
}

bool waiter::signal() noexcept { return home_ && home_->claim(*this, wake::signalled); }

waiter_list::~waiter_list() {
    while (first_) first_->unlink(); // frames that the context's shutdown has not reached yet
}

bool waiter_list::wake_one() noexcept {
    while (auto* next = first_) {
        next->unlink();
        if (next->signal()) return true;
    }
    return false;
}

void waiter_list::wake_all() noexcept {
    while (wake_one()) {
    }
}

// ---- parking ----

asio::execution_context::id parking::id;

parking::parking(asio::execution_context& context) : service(context) {}

void parking::park(waiter& self, park_handler handler, time_point deadline) {
    std::lock_guard lock(mutex_);
    auto executor = asio::get_associated_executor(handler);
    self.handler_.emplace(std::move(handler));
    link(self);
    if (deadline == no_deadline || stopped_) return;
    insert({deadline, &self});
    arm(deadline, executor);
}

void parking::link(waiter& self) {
    self.parked_before_ = nullptr;
    self.parked_after_ = first_;
    if (first_) first_->parked_before_ = &self;
    first_ = &self;
}

std::optional<park_handler> parking::take(waiter& self) {
    if (!self.handler_) return std::nullopt;
    (self.parked_before_ ? self.parked_before_->parked_after_ : first_) = self.parked_after_;
    if (self.parked_after_) self.parked_after_->parked_before_ = self.parked_before_;
    if (self.place_ != 0) remove(self.place_ - 1);
    auto handler = std::move(self.handler_);
    self.handler_.reset();
    return handler;
}

bool parking::claim(waiter& self, wake reason) {
    std::unique_lock lock(mutex_);
    if (stopped_) return false; // shutdown destroys what is parked
    auto handler = take(self);
    if (!handler) return false;
    // Outside an io_context an idle timer would count as work and keep the context from ending.
    if (heap_.empty() && !io_ && timer_ && armed_ != no_deadline)
        armed_ = no_deadline, timer_->cancel();
    lock.unlock();
    resume(std::move(*handler), reason);
    return true;
}

// The timer is only ever moved forward: when the earliest deadline is cancelled it stays armed and
// finds nothing to do. That saves two timerfd_settime calls (about 1 us) for most waits, which end
// before their deadline.
void parking::arm(time_point deadline, asio::any_io_executor const& executor) {
    if (deadline >= armed_) return;
    if (!timer_) {
        io_ = io_context_of(executor);
        if (io_)
            timer_.emplace(*io_);
        else
            timer_.emplace(executor);
    }
    armed_ = deadline;
    timer_->expires_at(deadline);
    timer_->async_wait([this](std::error_code failure) {
        if (io_) io_->get_executor().on_work_started();
        expire(failure);
    });
    // The coroutines that wait are the work; the timer alone must not keep io_context::run() from
    // returning.
    if (io_) io_->get_executor().on_work_finished();
}

void parking::expire(std::error_code failure) {
    if (failure == asio::error::operation_aborted) return; // re-armed, or the context is going down
    std::vector<park_handler> due;
    {
        std::lock_guard lock(mutex_);
        armed_ = no_deadline;
        auto const now = std::chrono::steady_clock::now();
        while (!heap_.empty() && heap_.front().when <= now) {
            auto handler = take(*heap_.front().who);
            due.push_back(std::move(*handler));
        }
        if (!heap_.empty()) arm(heap_.front().when, timer_->get_executor());
    }
    for (auto& handler : due) resume(std::move(handler), wake::timed_out);
}

void parking::shutdown() {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    heap_.clear();
    while (first_) {
        first_->place_ = 0;
        auto handler = take(*first_);
        lock.unlock();
        handler.reset(); // destroys the frame, and the waiter with it
        lock.lock();
    }
    timer_.reset();
}

// ---- the heap ----

void parking::set(std::size_t at, entry item) {
    heap_[at] = item;
    item.who->place_ = at + 1;
}

std::size_t parking::sift_up(std::size_t at, entry item) {
    while (at > 0) {
        auto const parent = (at - 1) / 4;
        if (heap_[parent].when <= item.when) break;
        set(at, heap_[parent]);
        at = parent;
    }
    set(at, item);
    return at;
}

std::size_t parking::sift_down(std::size_t at, entry item) {
    for (;;) {
        auto best = at * 4 + 1;
        if (best >= heap_.size()) break;
        auto const end = std::min(best + 4, heap_.size());
        for (auto child = best + 1; child < end; ++child)
            if (heap_[child].when < heap_[best].when) best = child;
        if (item.when <= heap_[best].when) break;
        set(at, heap_[best]);
        at = best;
    }
    set(at, item);
    return at;
}

void parking::insert(entry item) {
    heap_.push_back(item);
    sift_up(heap_.size() - 1, item);
}

void parking::remove(std::size_t place) {
    heap_[place].who->place_ = 0;
    auto const last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    if (sift_up(place, last) == place) sift_down(place, last);
}

} // namespace trawl::detail
