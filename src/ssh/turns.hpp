#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>

#include <deque>
#include <memory>

namespace trawl::ssh::detail {

/// Who has something to do in its turn.
class turn_taker {
public:
    virtual void take_turn() = 0;

protected:
    ~turn_taker() = default;
};

class lines;

/// The sessions of one executor share one turn of the loop.
///
/// What a socket has brought may be a key exchange: 0.3 to 1 ms of CPU. A loop that runs whatever
/// is ready would do that for every session before anybody else gets on, so that a fan-out to a
/// thousand hosts keeps timers waiting for a second and takes all of the loop from a sweep or a
/// mail. So sessions stand in line, and those that a budget does not reach wait until the loop has
/// been round.
class turns : public std::enable_shared_from_this<turns> {
public:
    /// The line of `executor`, made when it has none.
    static std::shared_ptr<turns> of(asio::any_io_executor const& executor);

    explicit turns(asio::any_io_executor executor) : executor_(std::move(executor)) {}
    turns(turns const&) = delete;
    turns& operator=(turns const&) = delete;

    /// Calls one->take_turn() soon; nothing when it is gone by then.
    void stand_in_line(std::weak_ptr<turn_taker> one);

private:
    friend class lines;
    void post();
    void run();
    void go_on() noexcept;

    asio::any_io_executor executor_;
    std::deque<std::weak_ptr<turn_taker>> line_; // weak: the line is no reason to live
    bool posted_ = false;
};

} // namespace trawl::ssh::detail
