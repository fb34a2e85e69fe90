#include <trawl/backup.hpp>

#include "backup/making.hpp"
#include "backup/steps.hpp"

#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <functional>
#include <memory>

namespace trawl::backup {

namespace {

using detail::making;
using detail::squeezed;

/// A block between the tar stage and the file: its place in the queue keeps the order, `done`
/// brings the bytes.
struct slot {
    queue<squeezed> done{1};
};

/// The pipeline. The tar stage and the writer have a strand each, compression takes any free
/// thread; the loop only hands blocks on.
///
///     open -> { choose | walk | walk } -> prepare
///     -> next (strand) -> block -> compress (any thread, several) -> slots in order -> write (strand)
///     -> publish
class pipeline {
public:
    pipeline(offload_pool& cpu, making& work, observer* watch)
        : cpu_(cpu), work_(work), watch_(watch), tar_lane_(cpu.make_strand()),
          write_lane_(cpu.make_strand()), order_(2 * cpu.stats().threads + 2) {}

    awaitable<> run() {
        auto open = [this] { work_.open(); };
        co_await cpu_.run(tar_lane_, open);
        std::function<awaitable<>(task_group&)> look = [this](task_group& group) {
            return look_around(group);
        };
        co_await with_group(look);
        auto prepare = [this] { work_.prepare(); };
        co_await cpu_.run(tar_lane_, prepare);
        std::function<awaitable<>(task_group&)> body = [this](task_group& group) {
            return feed(group);
        };
        co_await with_group(body);
        auto publish = [this] { work_.publish(); };
        co_await cpu_.run(tar_lane_, publish);
    }

private:
    // The base first: one thread is enough for it, while the tree keeps any number busy.
    awaitable<> look_around(task_group& group) {
        group.spawn(choose());
        group.spawn(walk());
        group.spawn(walk());
        co_return;
    }

    awaitable<> choose() {
        auto choose = [this](std::stop_token stop) { work_.choose(stop); };
        co_await cpu_.run(choose);
    }

    awaitable<> walk() {
        auto walk = [this](std::stop_token stop) { work_.walk(stop); };
        co_await cpu_.run(walk);
    }

    awaitable<> feed(task_group& group) {
        group.spawn(drain());
        auto next = [this](std::stop_token stop) { return work_.next(stop); };
        for (;;) {
            auto block = co_await cpu_.run(tar_lane_, next);
            if (block.empty()) break;
            if (watch_) watch_->progress("bytes", work_.bytes_read(), work_.bytes_to_read());
            auto place = std::make_shared<slot>();
            co_await order_.push(place); // bounds the bytes in flight
            group.spawn(squeeze(std::move(place), std::move(block)));
        }
        order_.close();
    }

    awaitable<> squeeze(std::shared_ptr<slot> place, std::string block) {
        auto compress = [this, &block] {
            auto const plain = std::move(block); // a MiB is to be freed here, not on the loop
            return work_.compress(plain);
        };
        auto result = co_await cpu_.run(compress);
        co_await place->done.push(std::move(result));
    }

    awaitable<> drain() {
        while (auto place = co_await order_.pop()) {
            auto result = co_await (*place)->done.pop();
            auto write = [this, &result] {
                auto const block = std::move(*result);
                work_.write(block);
            };
            co_await cpu_.run(write_lane_, write);
        }
    }

    offload_pool& cpu_;
    making& work_;
    observer* watch_;
    offload_pool::strand tar_lane_, write_lane_;
    queue<std::shared_ptr<slot>> order_;
};

} // namespace

std::string_view word(kind made) noexcept {
    switch (made) {
    case kind::automatic: return "auto";
    case kind::full: return "full";
    case kind::incremental: return "incr";
    case kind::differential: break;
    }
    return "diff";
}

awaitable<report> detail::make(offload_pool& cpu, options configuration, std::string root) {
    auto* const watch = configuration.watch;
    auto const shown =
        configuration.name.empty() ? configuration.source.string() : configuration.name;
    auto work = std::make_unique<making>(std::move(configuration), std::move(root));
    report made;
    auto body = [&](making& all) -> awaitable<> {
        pipeline stages(cpu, all, watch);
        co_await stages.run();
        made = std::move(all).result();
    };
    co_await detail::with_work(cpu, work, body);
    detail::warn(watch, "backup " + shown, made.notes);
    detail::warn(watch, "backup " + shown, made.errors);
    co_return made;
}

awaitable<report> run(offload_pool& cpu, options configuration) {
    return detail::make(cpu, std::move(configuration), {});
}

} // namespace trawl::backup
