#include "job.hpp"

#include "records.hpp"

#include <trawl/fair_share.hpp>

#include <asio/this_coro.hpp>

#include <boost/json/serialize.hpp>

#include <utility>

namespace json = boost::json;
using trawl::awaitable;

namespace service {
namespace {

std::string_view name(job::state s) {
    switch (s) {
    case job::state::running: return "running";
    case job::state::done: return "done";
    case job::state::failed: return "failed";
    case job::state::cancelled: break;
    }
    return "cancelled";
}

/// One job's thousand sessions leave the other jobs, and the requests, their part of the loop.
awaitable<> on_its_share(awaitable<> work) {
    trawl::fair_share const part(co_await asio::this_coro::executor);
    co_await part.run(std::move(work));
}

} // namespace

awaitable<> job::run(toolkit with, line_queue& lines) {
    auto const out = [&](json::object record) -> awaitable<> {
        ++counts_[std::string(record["status"].as_string())];
        co_await lines.push(json::serialize(record) + "\n");
    };
    // A group of its own, so that cancel() ends the work and not whoever waits for it.
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group_ = &group;
        if (state_ == state::running) group.spawn(on_its_share(work(with, out)));
        co_return;
    };
    std::exception_ptr failure;
    try {
        co_await trawl::with_group(body);
    } catch (...) {
        failure = std::current_exception();
    }
    group_ = nullptr;
    until_ = trawl::clock::now();
    bool const left_alone = failure && trawl::is_cancelled(failure);
    end_ = state_;
    if (state_ == state::running) { // else cancel() has said it
        end_ = left_alone ? state::cancelled : failure ? state::failed : state::done;
        if (failure) why_ = left_alone ? "the client left" : trawl::describe(failure);
    }
    if (!left_alone) co_await lines.push(json::serialize(summary()) + "\n");
    lines.close();
}

awaitable<> job::work(toolkit with, emit out) {
    if (auto const* sweep = std::get_if<sweep_spec>(&what_))
        co_await work_on(*sweep, with, std::move(out));
    else
        co_await work_on(std::get<ssh_spec>(what_), with, std::move(out));
}

void job::cancel(std::string why) {
    if (state_ != state::running || end_ != state::running) return;
    state_ = state::cancelled;
    why_ = std::move(why);
    if (group_) group_->cancel();
}

json::object job::description() const {
    json::object told;
    told["id"] = std::to_string(id_);
    told["kind"] = kind_of(what_);
    told["status"] = name(state_);
    told["targets"] = targets_of(what_).size();
    json::object counts;
    for (auto const& [status, count] : counts_) counts[status] = count;
    told["counts"] = std::move(counts);
    told["error"] = why_.empty() ? json::value() : text(why_);
    told["started"] = date(started_);
    auto const end = until_ == trawl::time_point() ? trawl::clock::now() : until_;
    told["elapsed"] = seconds(end - from_);
    return told;
}

json::object job::summary() const {
    json::object record;
    record["v"] = 1;
    record["type"] = "summary";
    record["verb"] = kind_of(what_) == "sweep" ? "ping" : "ssh"; // as its records
    for (auto const& member : description()) record[member.key()] = member.value();
    record["status"] = name(end_);
    return record;
}

} // namespace service
