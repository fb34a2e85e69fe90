#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/co_spawn.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <memory>
#include <utility>

namespace trawl {

namespace detail {
class share_state;
}

/// A part of a loop for one kind of work, so that no other kind can take all of it.
///
///     trawl::fair_share for_sweep(io.get_executor()), for_ssh(io.get_executor());
///     group.spawn(for_sweep.run(sweep_all()));
///     group.spawn(for_ssh.run(visit_hosts()));
///
/// An io_context runs what is ready in the order in which it became so, whatever that takes: a thousand
/// sessions have a thousand turns each time round, and a sweep beside them one. What runs on a share
/// stands in a line of its own, and each time round every line has one turn of the same length; one that
/// took longer pays with its next ones (deficit round robin). A share with nothing to do costs nothing,
/// and one that is alone has all of the loop.
///
/// Its executor takes the place of the loop's own: for co_spawn, for sockets, for strands. It is one
/// strand, too: its handlers run one at a time and in order, also when several threads run the context.
/// On one thread, shares may use each other's objects; otherwise these are as far apart as strands are.
class fair_share {
public:
    /// A share of the context of `on`. `turn` > 0 is also its weight: twice as much is twice the part.
    /// A handler runs to its end, so that a turn may be longer by one of them.
    explicit fair_share(asio::any_io_executor on, duration turn = std::chrono::microseconds(250));

    /// May outlive this object. When the context is destroyed, so is what stands in line.
    asio::any_io_executor executor() const;

    /// `work`, and what it spawns, on this share; the caller goes on where it is. Whoever cancels the
    /// caller cancels the work.
    template <class T>
    awaitable<T> run(awaitable<T> work) const {
        return asio::co_spawn(executor(), std::move(work), asio::use_awaitable);
    }

private:
    std::shared_ptr<detail::share_state> state_;
};

} // namespace trawl
