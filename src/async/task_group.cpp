#include <trawl/detail/parking.hpp>
#include <trawl/task_group.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>

#include <list>

namespace trawl {

struct task_group::state {
    enum class role { body, ordinary, background };
    struct child {
        asio::cancellation_signal stop;
        role as;
    };

    explicit state(asio::any_io_executor on) : executor(std::move(on)) {}

    void start(awaitable<> task, role as) {
        if (cancelled) return;
        auto self = children.emplace(children.end());
        self->as = as;
        ++counted(as);
        asio::co_spawn(
            executor, std::move(task),
            asio::bind_cancellation_slot(self->stop.slot(), [this, self](std::exception_ptr e) {
                ended(self, std::move(e));
            }));
    }

    void ended(std::list<child>::iterator who, std::exception_ptr e) {
        --counted(who->as);
        children.erase(who);
        if (e && !cancelled) {
            failure = std::move(e);
            cancel();
        }
        changed.wake_all();
    }

    void cancel() {
        cancelled = true;
        for (auto next = children.begin(); next != children.end();)
            (next++)->stop.emit(asio::cancellation_type::terminal);
    }

    std::size_t& counted(role as) { return count[static_cast<std::size_t>(as)]; }

    asio::any_io_executor executor;
    std::list<child> children;
    std::size_t count[3] = {}; // by role
    bool cancelled = false;
    std::exception_ptr failure;
    detail::waiter_list changed;
};

task_group::task_group(asio::any_io_executor executor)
    : state_(std::make_unique<state>(std::move(executor))) {}
task_group::~task_group() = default;

void task_group::spawn(awaitable<> child) {
    state_->start(std::move(child), state::role::ordinary);
}
void task_group::spawn_background(awaitable<> child) {
    state_->start(std::move(child), state::role::background);
}
void task_group::cancel() { state_->cancel(); }
bool task_group::cancelled() const noexcept { return state_->cancelled; }
std::size_t task_group::size() const noexcept { return state_->children.size(); }

awaitable<> task_group::join() {
    while (state_->counted(state::role::ordinary) > 0) {
        detail::waiter self(state_->changed);
        if (co_await self.wait() == detail::wake::cancelled) detail::throw_cancelled();
    }
}

/// What with_group may do with a group that its body may not.
class group_scope {
public:
    explicit group_scope(asio::any_io_executor executor) : group(std::move(executor)) {}

    /// Waits until `done()`; when the caller is cancelled, cancels the children and goes on
    /// waiting.
    template <class Done>
    awaitable<> until(Done done) {
        while (!done()) {
            // The signal does not come twice: it may have come while a wake-up was under way, or
            // from a child that ran inside start().
            auto const now = co_await asio::this_coro::cancellation_state;
            if (!aborted && !cancelled_before && now.cancelled() != none) {
                aborted = true;
                group.cancel();
                continue;
            }
            detail::waiter self(group.state_->changed);
            if (co_await self.wait(detail::no_deadline, !aborted) == detail::wake::cancelled) {
                aborted = true;
                group.cancel();
            }
        }
    }

    awaitable<> run(std::function<awaitable<>(task_group&)> const& body) {
        using role = task_group::state::role;
        auto& s = *group.state_;
        auto const before = co_await asio::this_coro::cancellation_state;
        cancelled_before = before.cancelled() != none;
        s.start(body(group), role::body);
        bool const throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        co_await until([&s] { return s.counted(role::body) + s.counted(role::ordinary) == 0; });
        if (!s.children.empty()) group.cancel();
        co_await until([&s] { return s.children.empty(); });
        co_await asio::this_coro::throw_if_cancelled(throws);
        if (s.failure) std::rethrow_exception(s.failure);
        if (aborted) detail::throw_cancelled();
    }

    static constexpr auto none = asio::cancellation_type::none;
    task_group group;
    bool aborted = false;
    bool cancelled_before = false; // clean-up of a coroutine that has been cancelled
};

// The body is an ordinary child itself, so that the first error of another child cancels it too.
awaitable<> with_group(std::function<awaitable<>(task_group&)> body) {
    auto executor = co_await asio::this_coro::executor;
    group_scope scope(executor);
    co_await scope.run(body);
}

} // namespace trawl
