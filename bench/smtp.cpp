// Messages a second through smtp::pool, beside whatever else speaks to the same sink:
//
//     bench-smtp [clients] PORT MESSAGES CONNECTIONS [BYTES [PER_CONNECTION [CA]]]
//
// "clients": an smtp::client for each connection, all at once, where a pool opens one after the other.
// One recipient each, on 127.0.0.1, messages made while others are sent; with CA by STARTTLS, with a
// certificate of that authority for localhost. PER_CONNECTION 0: any number. Prints "accepted=N
// failed=N wall=S rate=N cpu=S us=N rss_mb=N".
#include <trawl/smtp.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

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

/// A pool, or as many clients.
struct senders {
    std::unique_ptr<smtp::pool> pool;
    std::vector<std::unique_ptr<smtp::client>> clients;
};

awaitable<> run(senders& by, std::size_t count, std::size_t bytes, counts& seen) {
    queue<smtp::outgoing> messages(1000);
    std::function<void(std::uint64_t, smtp::receipt)> const done = [&](auto, auto const& receipt) {
        receipt.all_accepted() ? ++seen.accepted : ++seen.failed;
    };
    std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
        group.spawn(fill(messages, count, bytes));
        if (by.pool) group.spawn(by.pool->send_all(messages, done));
        for (auto& one : by.clients) group.spawn(one->send_all(messages, done));
        co_return;
    };
    co_await with_group(body);
    std::function<awaitable<>(task_group&)> const end = [&](task_group& group) -> awaitable<> {
        if (by.pool) group.spawn(by.pool->quit());
        for (auto& one : by.clients) group.spawn(one->quit());
        co_return;
    };
    co_await with_group(end);
}

} // namespace

int main(int argc, char** argv) {
    bool const clients = argc > 1 && std::string_view(argv[1]) == "clients";
    if (clients) --argc, ++argv;
    if (argc < 4)
        return std::fputs("bench-smtp [clients] PORT MESSAGES CONNECTIONS [BYTES [PER [CA]]]\n",
                          stderr),
               2;
    auto const word = [&](int i, std::size_t otherwise) {
        return argc > i ? static_cast<std::size_t>(std::atoll(argv[i])) : otherwise;
    };
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);

    auto const server = [&] {
        smtp::options options;
        options.addresses.push_back(asio::ip::address_v4::loopback());
        options.port = static_cast<std::uint16_t>(word(1, 0));
        options.host = "localhost";
        options.tls = argc > 6 ? smtp::tls::required : smtp::tls::none;
        options.ca_file = argc > 6 ? argv[6] : "";
        options.helo = "bench.example.com";
        return options;
    };
    smtp::pool_options how;
    how.connections = word(3, 1);
    how.messages = word(5, 0);

    asio::io_context io(1);
    senders by;
    if (!clients) by.pool = std::make_unique<smtp::pool>(io.get_executor(), server(), how);
    while (clients && by.clients.size() < how.connections)
        by.clients.push_back(std::make_unique<smtp::client>(io.get_executor(), server()));
    counts seen;
    auto const began = std::chrono::steady_clock::now();
    asio::co_spawn(io, run(by, word(2, 1), word(4, 4096), seen), [](std::exception_ptr failure) {
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
