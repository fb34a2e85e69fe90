// A project that finds an installed trawl with pkg-config and has a header-only Asio of its own:
// not one line may depend on how the library was built.
#include <trawl/async.hpp>
#include <trawl/error.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/mime.hpp>
#include <trawl/mutex.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/queue.hpp>
#include <trawl/ssh.hpp>
#include <trawl/targets.hpp>
#include <trawl/task_group.hpp>

#include <asio.hpp>

#include <iostream>
#include <string>

using namespace std::chrono_literals;
using asio::ip::tcp;

#ifdef ASIO_SEPARATE_COMPILATION
#error "the consumer's Asio is header-only"
#endif

namespace {

trawl::awaitable<> consume(trawl::queue<int>& numbers, int& sum) {
    while (auto number = co_await numbers.pop()) sum += *number;
}

/// The caller's Asio and the library's timers, sockets and strands on one io_context.
trawl::awaitable<std::string> over_tcp() {
    auto executor = co_await asio::this_coro::executor;
    tcp::acceptor acceptor(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket client(executor);
    co_await client.async_connect(acceptor.local_endpoint(), asio::use_awaitable);
    auto server = co_await acceptor.async_accept(asio::use_awaitable);
    co_await asio::async_write(server, asio::buffer("hello\n", 6), asio::use_awaitable);
    std::string line;
    auto reading =
        asio::async_read_until(client, asio::dynamic_buffer(line), '\n', asio::use_awaitable);
    co_await trawl::with_timeout(5s, std::move(reading));
    co_return line;
}

trawl::awaitable<> program(trawl::offload_pool& pool, std::string& said) {
    trawl::queue<int> numbers(4);
    int sum = 0;
    auto body = [&](trawl::task_group& group) -> trawl::awaitable<> {
        group.spawn(consume(numbers, sum));
        for (int i = 1; i <= 100; ++i) co_await numbers.push(i);
        numbers.close();
    };
    co_await trawl::with_group(body);
    auto square = [sum] { return sum * sum; };
    said = std::to_string(co_await pool.run(square));
    if (co_await trawl::within(1ms, trawl::sleep_for(10s))) said += " late";
    said += " " + co_await over_tcp();
    try {
        trawl::targets::parse("10.0.0.300");
    } catch (trawl::error const& e) { // thrown in the library, caught here
        said += e.code() == trawl::errc::bad_target ? "caught" : "another error";
    }
}

} // namespace

int main() {
    asio::io_context io;
    std::string said;
    {
        trawl::offload_pool pool;
        asio::co_spawn(io, program(pool, said), [](std::exception_ptr failure) {
            if (failure) std::rethrow_exception(failure);
        });
        io.run();
    }
    trawl::mime::message letter;
    letter.from("a@example.org").to("b@example.org").subject("größer");
    bool const fine =
        said == "25502500 hello\ncaught" && letter.serialize().find("=?") != std::string::npos;
    std::cout << (fine ? "ok" : said) << "\n";
    return fine ? 0 : 1;
}
