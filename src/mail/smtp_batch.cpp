// Many messages over one connection of several: connection::send_all.
#include "mail/smtp_connection.hpp"

#include <trawl/limiter.hpp>

#include <fmt/format.h>

#include <utility>

namespace trawl::smtp::detail {

namespace {

/// A message that came back this often because its connection was lost is deferred.
constexpr std::size_t most_attempts = 3;

receipt everybody(outgoing const& one, smtp::status status, std::string const& why) {
    receipt made{one.message_id, {}};
    for (auto const& address : one.envelope.recipients)
        made.recipients.push_back({address, status, 0, "", why});
    return made;
}

} // namespace

/// A message that can be sent; nullptr for one that cannot, which has its receipt now.
job_ptr connection::accept(outgoing one, done const& report) {
    std::string fault;
    try {
        return make_job(std::move(one));
    } catch (error const& e) {
        fault = e.what();
    }
    report(one.tag, everybody(one, smtp::status::refused, "not sent: " + fault));
    return nullptr;
}

/// The next message that is there now; nullptr when there is none.
job_ptr connection::at_hand(queue<outgoing>& from, done const& report) {
    if (!to_->returned.empty()) {
        auto one = std::move(to_->returned.front());
        to_->returned.pop_front();
        return one;
    }
    while (auto one = from.try_pop())
        if (auto made = accept(std::move(*one), report)) return made;
    return nullptr;
}

/// Waits for the next message; nullptr when there will be none any more.
awaitable<job_ptr> connection::next(queue<outgoing>& from, pacer* pace, done const& report) {
    for (;;) {
        if (!to_->returned.empty()) co_return at_hand(from, report);
        auto state = queue_status::ok;
        // Meanwhile somebody else may give a message back.
        auto one = co_await from.pop_until(clock::now() + std::chrono::seconds(1), &state);
        if (!one) {
            if (state == queue_status::empty || !to_->returned.empty()) continue;
            co_return nullptr;
        }
        auto made = accept(std::move(*one), report);
        if (!made) continue;
        if (pace) co_await pace->turn();
        co_return made;
    }
}

void connection::settle(done const& report) {
    while (auto one = talk_->take_finished())
        report(one->what.tag, {one->what.message_id, std::move(one->answers)});
    if (talk_->at() != phase::closed) return;
    auto const why = failure();
    while (auto one = talk_->take_unsent()) {
        if (++one->attempts < most_attempts)
            to_->returned.push_back(std::move(one));
        else
            give_up(std::move(one), why, report);
    }
}

void connection::give_up(job_ptr one, error const& why, done const& report) {
    auto made = everybody(one->what, smtp::status::deferred, why.what());
    made.failure = why.code();
    report(one->what.tag, std::move(made));
}

/// A connection that takes a message, the present one or a new one; false when there is none, for
/// the reason in `unreachable`.
awaitable<bool> connection::ready(std::size_t most, std::function<void()> const& opened) {
    if (talk_ && (talk_->spent() || (most > 0 && begun_ >= most))) co_await quit();
    if (talk_) co_return true;
    if (clock::now() < to_->hold_off) co_return false;
    try {
        co_await start();
        if (talk_->at() == phase::ready) {
            to_->unreachable.reset();
            if (opened) opened();
            co_return true;
        }
        to_->unreachable = failure();
        if (talk_->failure().may_quit) co_await say_quit();
    } catch (error const& e) {
        to_->unreachable = e;
    }
    drop();
    // Whoever shares the work may still be served; the last one tries again after a while.
    if (to_->members == 1) to_->hold_off = clock::now() + to_->options.limits.connect;
    co_return false;
}

awaitable<> connection::send_all(queue<outgoing>& from, done const& report, pacer* pace,
                                 std::size_t most, std::function<void()> const& opened) {
    struct dropper { // of a connection of which nobody knows what was said on it
        connection* self;
        ~dropper() {
            if (self) self->drop();
        }
    } on_error{this};
    struct member {
        std::size_t& count;
        explicit member(std::size_t& c) : count(c) { ++count; }
        ~member() { --count; }
    } const counted(to_->members);
    for (;;) {
        auto one = co_await next(from, pace, report);
        if (!one) break;
        if (!co_await ready(most, opened)) {
            if (to_->members > 1) {
                to_->returned.push_back(std::move(one));
                co_return;
            }
            give_up(std::move(one), *to_->unreachable, report);
            continue;
        }
        if (one->what.before)
            co_await announce_and_begin(std::move(one));
        else
            begin(std::move(one));
        for (bool alive = false;; alive = true) {
            while (!pace && talk_->wants_more() && (most == 0 || begun_ < most)) {
                auto another = at_hand(from, report);
                if (!another) break;
                if (another->what.before)
                    co_await announce_and_begin(std::move(another));
                else
                    begin(std::move(another), alive);
            }
            if (talk_->settled()) break;
            co_await step(); // until the server has spoken
            settle(report);
        }
        settle(report);
        if (talk_->at() == phase::closed) drop();
    }
    on_error.self = nullptr;
}

} // namespace trawl::smtp::detail
