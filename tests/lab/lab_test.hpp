#pragma once

#include "lab/command.hpp"
#include "lab/lab.hpp"
#include "test.hpp"

#include <trawl/task_group.hpp>

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::test {

struct finished {
    int status = -1; ///< as a shell says it: 128 + signal for a killed one
    std::string out, err;
};

inline awaitable<> collect(asio::posix::stream_descriptor& from, std::string& into) {
    asio::error_code end;
    co_await asio::async_read(from, asio::dynamic_buffer(into),
                              asio::redirect_error(asio::use_awaitable, end));
}
inline awaitable<> provide(asio::local::stream_protocol::socket& to, std::string_view text) {
    asio::error_code failure;
    co_await asio::async_write(to, asio::buffer(text),
                               asio::redirect_error(asio::use_awaitable, failure));
    to.close(failure);
}

/// Runs a shell command line beside the coroutines of this loop.
inline awaitable<finished> sh(std::string line, std::string input = {}) {
    lab::command::options what{.line = std::move(line),
                               .environment = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin"}};
    auto executor = co_await asio::this_coro::executor;
    lab::command process(executor, std::move(what));
    process.start();
    finished result;
    auto const body = [&](task_group& group) -> awaitable<> {
        group.spawn(collect(process.output(), result.out));
        group.spawn(collect(process.errors(), result.err));
        group.spawn_background(provide(process.input(), input));
        group.spawn(process.ended());
        co_return;
    };
    co_await with_group(body);
    auto const outcome = process.outcome();
    result.status = outcome.signal > 0 ? 128 + outcome.signal : outcome.exit_status;
    co_return result;
}

/// Runs `body(world)` while the world serves.
inline void with_world(lab::options options, std::function<awaitable<>(lab::world&)> body) {
    auto const whole = [&]() -> awaitable<> {
        lab::world world(co_await asio::this_coro::executor, std::move(options));
        auto const both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(world.serve());
            co_await body(world);
        };
        co_await with_group(both);
    };
    run(whole, std::chrono::seconds(60));
}

/// OpenSSH's client with nothing but the world's own files.
inline std::string ssh(lab::world const& world, std::string_view more, std::size_t host = 0) {
    return fmt::format(
        "exec ssh -F /dev/null -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes "
        "-o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={} -o LogLevel=ERROR -i {} -p {} "
        "{}@{} {}",
        world.known_hosts_path().string(), world.key_path().string(), world.ssh_port(),
        world.user(), world.hosts().at(host).to_string(), more);
}

inline std::string contents(std::filesystem::path const& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::filesystem::path> delivered(lab::world const& world) {
    std::vector<std::filesystem::path> paths;
    for (auto const& entry : std::filesystem::directory_iterator(world.maildir() / "new"))
        paths.push_back(entry);
    return paths;
}

inline std::vector<asio::ip::address> addresses(std::size_t count) {
    std::vector<asio::ip::address> all;
    for (std::size_t i = 0; i < count; ++i)
        all.push_back(asio::ip::address_v4(0x7f070001u + static_cast<std::uint32_t>(i)));
    return all;
}

} // namespace trawl::test
