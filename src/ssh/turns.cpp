#include "ssh/turns.hpp"

#include <asio/execution/context.hpp>
#include <asio/execution_context.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>

#include <chrono>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace trawl::ssh::detail {
namespace {

/// As much as a sweep takes in a turn (icmp); a single step of libssh may be longer.
constexpr auto budget = std::chrono::microseconds(250);

} // namespace

/// The lines of one context, for each of its executors: strands have their own.
class lines final : public asio::execution_context::service {
public:
    static inline asio::execution_context::id id;

    explicit lines(asio::execution_context& context) : asio::execution_context::service(context) {}

    std::shared_ptr<turns> of(asio::any_io_executor const& executor) {
        std::lock_guard const one(mutex_);
        std::erase_if(all_, [](auto const& p) { return p.expired(); });
        for (auto const& p : all_)
            if (auto line = p.lock(); line && line->executor_ == executor) return line;
        auto made = std::make_shared<turns>(executor);
        all_.push_back(made);
        return made;
    }

private:
    void shutdown() override {
        std::lock_guard const one(mutex_);
        all_.clear();
    }
    std::mutex mutex_;
    std::vector<std::weak_ptr<turns>> all_; // no executor is kept: it may be work
};

std::shared_ptr<turns> turns::of(asio::any_io_executor const& executor) {
    auto& context = asio::query(executor, asio::execution::context);
    return asio::use_service<lines>(context).of(executor);
}

void turns::stand_in_line(std::weak_ptr<turn_taker> one) {
    line_.push_back(std::move(one));
    if (!std::exchange(posted_, true)) post();
}

void turns::post() {
    asio::post(executor_, [self = shared_from_this()] { self->run(); });
}

void turns::run() {
    struct again { // also when a turn throws: the others are in line still
        turns& line;
        ~again() { line.go_on(); }
    } const at_exit{*this};
    auto const until = clock::now() + budget;
    do {
        auto const next = line_.front().lock();
        line_.pop_front();
        if (next) next->take_turn();
    } while (!line_.empty() && clock::now() < until);
}

void turns::go_on() noexcept {
    posted_ = !line_.empty();
    try {
        if (posted_) post();
    } catch (std::bad_alloc const&) {
        posted_ = false; // the next one to stand in line tries it again
    }
}

} // namespace trawl::ssh::detail
