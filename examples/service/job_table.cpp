#include "job_table.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

using trawl::awaitable;

namespace service {

awaitable<> job_table::run() {
    auto const body = [this](trawl::task_group& group) -> awaitable<> {
        group_ = &group;
        co_await stopped_.pop();
    };
    co_await trawl::with_group(body);
}

void job_table::stop(std::string const& why) {
    group_ = nullptr;
    stopped_.close();
    for (auto const& [id, one] : entries_) one->work.cancel(why);
}

bool job_table::full() const {
    auto const running = std::ranges::count_if(
        entries_, [](auto const& one) { return one.second->work.now() == job::state::running; });
    return !group_ || static_cast<std::size_t>(running) >= options_.running;
}

std::shared_ptr<job_table::entry> job_table::add(job_spec what) {
    auto const id = ++last_;
    std::shared_ptr<entry> one(new entry{{id, std::move(what)}});
    entries_.emplace(id, one);
    return one;
}

awaitable<> job_table::stream(job_spec what, exchange& to) {
    auto one = add(std::move(what));
    line_queue lines(64);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn_background(to.until_it_leaves()); // its error cancels the job
        group.spawn(one->work.run(with_, lines));
        while (auto line = co_await lines.pop()) {
            while (auto more = lines.try_pop()) *line += *more; // one write for what is there
            co_await to.write(std::move(*line));
        }
        co_await to.end();
    };
    std::exception_ptr failure;
    try {
        response head;
        head.type = "application/x-ndjson";
        head.fields.emplace_back("X-Job", std::to_string(one->work.id()));
        co_await to.begin(head);
        co_await trawl::with_group(body);
    } catch (...) {
        failure = std::current_exception();
    }
    entries_.erase(one->work.id());
    if (failure) std::rethrow_exception(failure);
}

std::shared_ptr<job_table::entry const> job_table::detach(job_spec what) {
    forget_oldest();
    auto one = add(std::move(what));
    one->detached = true;
    group_->spawn(record(one));
    return one;
}

/// Keeps the lines of a detached job.
awaitable<> job_table::record(std::shared_ptr<entry> one) {
    line_queue lines(64);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(one->work.run(with_, lines));
        while (auto line = co_await lines.pop()) {
            if (one->results.size() + line->size() <= options_.kept)
                one->results += *line;
            else
                ++one->dropped;
        }
    };
    co_await trawl::with_group(body);
    one->work.settle();
}

void job_table::forget_oldest() {
    auto const ended = [](auto const& one) {
        return one.second->work.now() != job::state::running;
    };
    while (static_cast<std::size_t>(std::ranges::count_if(entries_, ended)) >= options_.finished)
        entries_.erase(std::ranges::find_if(entries_, ended));
}

std::shared_ptr<job_table::entry> job_table::find(std::string const& id) const {
    std::uint64_t number = 0;
    auto const* const end = id.data() + id.size();
    auto const read = std::from_chars(id.data(), end, number);
    if (read.ec != std::errc() || read.ptr != end) return nullptr;
    auto const found = entries_.find(number);
    return found == entries_.end() ? nullptr : found->second;
}

void job_table::remove(std::string const& id) {
    auto const one = find(id);
    if (!one) return;
    if (one->work.now() == job::state::running)
        one->work.cancel("cancelled by DELETE");
    else if (one->detached)
        entries_.erase(one->work.id());
}

boost::json::array job_table::list() const {
    boost::json::array all;
    for (auto const& [id, one] : entries_) all.push_back(one->work.description());
    return all;
}

} // namespace service
