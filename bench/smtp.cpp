// Messages a second through smtp::pool, beside whatever else speaks to the same sink:
//
//     bench-smtp PORT MESSAGES CONNECTIONS [BYTES [PER_CONNECTION]]
//
// One recipient each, plain text on 127.0.0.1, everything made before the clock starts. Prints
// "accepted=N failed=N wall=S rate=N cpu=S us=N rss_mb=N".
#include <trawl/smtp.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <sys/resource.h>

namespace {

using namespace trawl;

struct counts {
    std::size_t accepted = 0, failed = 0;
};

mime::content text_of(std::size_t bytes) {
    std::string text = "From: <a@example.com>\r\nTo: <b@example.com>\r\n"
                       "Date: Sat, 01 Jan 2022 00:00:00 +0000\r\n"
                       "Message-Id: <1.2@bench.example.com>\r\nSubject: bench\r\n\r\n";
    while (text.size() < bytes) text += std::string(62, 'X') + "\r\n";
    return text;
}

awaitable<> fill(queue<smtp::outgoing>& messages, std::size_t count, std::size_t bytes) {
    auto const text = text_of(bytes);
    for (std::size_t i = 0; i < count; ++i) {
        smtp::outgoing one;
        one.tag = i;
        one.envelope.sender = "a@example.com";
        one.envelope.recipients.push_back("b@example.com");
        one.content = [text](mime::transport) { return text.open(); };
        auto pushing = messages.push(std::move(one));
        co_await std::move(pushing);
    }
    messages.close();
}

awaitable<> run(smtp::pool& pool, std::size_t count, std::size_t bytes, counts& seen) {
    queue<smtp::outgoing> messages(1000);
    std::function<void(std::uint64_t, smtp::receipt)> const done = [&](auto, auto const& receipt) {
        receipt.all_accepted() ? ++seen.accepted : ++seen.failed;
    };
    std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
        group.spawn(fill(messages, count, bytes));
        group.spawn(pool.send_all(messages, done));
        co_return;
    };
    co_await with_group(body);
    co_await pool.quit();
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 4)
        return std::fputs("bench-smtp PORT MESSAGES CONNECTIONS [BYTES [PER]]\n", stderr), 2;
    auto const word = [&](int i, std::size_t otherwise) {
        return argc > i ? static_cast<std::size_t>(std::atoll(argv[i])) : otherwise;
    };
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);

    smtp::options options;
    options.addresses.push_back(asio::ip::address_v4::loopback());
    options.port = static_cast<std::uint16_t>(word(1, 0));
    options.tls = smtp::tls::none;
    options.helo = "bench.example.com";
    smtp::pool_options how;
    how.connections = word(3, 1);
    how.messages = word(5, 0);

    asio::io_context io(1);
    smtp::pool pool(io.get_executor(), std::move(options), how);
    counts seen;
    auto const began = std::chrono::steady_clock::now();
    asio::co_spawn(io, run(pool, word(2, 1), word(4, 4096), seen), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
    std::chrono::duration<double> const wall = std::chrono::steady_clock::now() - began;
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    auto const seconds = [](timeval t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    double const cpu = seconds(used.ru_utime) + seconds(used.ru_stime);
    auto const sent = static_cast<double>(seen.accepted);
    std::printf("accepted=%zu failed=%zu wall=%.3f rate=%.0f cpu=%.3f us=%.1f rss_mb=%.1f\n",
                seen.accepted, seen.failed, wall.count(), sent / wall.count(), cpu,
                cpu * 1e6 / sent, static_cast<double>(used.ru_maxrss) / 1024);
    return seen.failed ? 1 : 0;
}
