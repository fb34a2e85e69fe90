// The measuring stick of smtp.sh: the bare dialogue in Asio coroutines, one text for all messages,
// no deadline, no result but a count.
//
//     bench-smtp-stick PORT MESSAGES CONNECTIONS MODE
//
// MODE: "chunks", four messages a write by BDAT; "group", the next envelope behind the dot;
// "each", a connection for each message, with PIPELINING. Prints "accepted=N".
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/connect.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

std::size_t left = 0, accepted = 0;
std::string const envelope = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n";
std::string const group = envelope + "DATA\r\n";
std::string const text = [] {
    std::string made = "From: <a@example.com>\r\nTo: <b@example.com>\r\n"
                       "Date: Sat, 01 Jan 2022 00:00:00 +0000\r\n"
                       "Message-Id: <1.2@bench.example.com>\r\nSubject: bench\r\n\r\n";
    while (made.size() < 4096) made += std::string(62, 'X') + "\r\n";
    return made;
}();
std::string const text_and_dot = text + ".\r\n";

bool take_one() { return left > 0 && (--left, true); }

class wire {
public:
    explicit wire(tcp::socket connected) : socket_(std::move(connected)) {}

    awaitable<void> write(std::string_view bytes) {
        co_await asio::async_write(socket_, asio::buffer(bytes), use_awaitable);
    }
    awaitable<void> write(std::vector<asio::const_buffer> const& parts) {
        co_await asio::async_write(socket_, parts, use_awaitable);
    }
    /// Waits for `count` replies, each of them 2xx or 3xx.
    awaitable<void> hear(std::size_t count) {
        while (count > 0) {
            auto const end = std::find(in_.begin() + begin_, in_.begin() + end_, '\n');
            if (end != in_.begin() + end_) {
                auto const* const line = in_.data() + begin_;
                begin_ = end - in_.begin() + 1;
                if (line[0] != '2' && line[0] != '3') throw std::runtime_error("refused");
                if (line[3] != '-') --count;
                continue;
            }
            std::copy(in_.begin() + begin_, in_.begin() + end_, in_.begin());
            end_ -= begin_, begin_ = 0;
            auto const room = asio::buffer(in_) + static_cast<std::size_t>(end_);
            auto const size = co_await socket_.async_read_some(room, use_awaitable);
            end_ += static_cast<std::ptrdiff_t>(size);
        }
    }

private:
    tcp::socket socket_;
    std::array<char, 2048> in_;
    std::ptrdiff_t begin_ = 0, end_ = 0;
};

awaitable<void> by_chunks(wire& server) {
    auto const head = envelope + "BDAT " + std::to_string(text.size()) + " LAST\r\n";
    for (std::size_t some = 1; some > 0;) {
        while (some < 4 && take_one()) ++some;
        std::vector<asio::const_buffer> parts;
        for (std::size_t i = 0; i < some; ++i)
            parts.push_back(asio::buffer(head)), parts.push_back(asio::buffer(text));
        co_await server.write(parts);
        co_await server.hear(3 * some);
        accepted += some;
        some = take_one() ? 1 : 0;
    }
}

awaitable<void> grouped(wire& server) {
    co_await server.write(group);
    for (bool more = true; more; ++accepted) {
        co_await server.hear(3);
        more = take_one();
        if (more) {
            std::vector<asio::const_buffer> const parts{asio::buffer(text_and_dot),
                                                        asio::buffer(group)};
            co_await server.write(parts);
        } else
            co_await server.write(text_and_dot);
        co_await server.hear(1);
    }
}

awaitable<void> only_one(wire& server) {
    co_await server.write(group);
    co_await server.hear(3);
    co_await server.write(text_and_dot);
    co_await server.hear(1);
    ++accepted;
}

awaitable<void> work(tcp::endpoint to, std::string_view mode) {
    auto const executor = co_await asio::this_coro::executor;
    while (take_one()) {
        tcp::socket socket(executor);
        co_await socket.async_connect(to, use_awaitable);
        socket.set_option(tcp::no_delay(true));
        wire server(std::move(socket));
        co_await server.hear(1);
        co_await server.write("EHLO bench.example.com\r\n");
        co_await server.hear(1);
        if (mode == "chunks")
            co_await by_chunks(server);
        else if (mode == "group")
            co_await grouped(server);
        else
            co_await only_one(server);
        co_await server.write("QUIT\r\n");
        co_await server.hear(1);
    }
}

} // namespace

int main(int count, char** word) {
    std::string_view const mode = count == 5 ? word[4] : "";
    if (mode != "chunks" && mode != "group" && mode != "each")
        return std::fputs("bench-smtp-stick PORT MESSAGES CONNECTIONS chunks|group|each\n", stderr),
               2;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    auto const port = static_cast<std::uint16_t>(std::atoi(word[1]));
    left = static_cast<std::size_t>(std::atoll(word[2]));
    tcp::endpoint const server(asio::ip::address_v4::loopback(), port);
    asio::io_context io(1);
    auto const at_end = [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    };
    for (long i = 0; i < std::atol(word[3]); ++i) asio::co_spawn(io, work(server, mode), at_end);
    io.run();
    std::printf("accepted=%zu\n", accepted);
}
