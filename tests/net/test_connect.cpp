#include "descriptors.hpp"
#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/net.hpp>
#include <trawl/task_group.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>

#include <cstring>
#include <fstream>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using asio::ip::make_address;
using asio::ip::tcp;
using trawl::awaitable;
using addresses = std::vector<asio::ip::address>;
namespace net = trawl::net;

namespace {

// A loopback port on which nobody listens, kept by a socket that is bound and does not listen.
struct closed_port {
    explicit closed_port(asio::any_io_executor executor, char const* host = "127.0.0.1")
        : socket(executor, tcp::endpoint(make_address(host), 0)) {}
    std::uint16_t number() const { return socket.local_endpoint().port(); }
    tcp::socket socket;
};

// A listener whose accept queue is full: connecting to it is never answered. (The kernel drops a
// SYN when the queue of a listener is full.)
struct silent_port {
    explicit silent_port(asio::any_io_executor executor, char const* host = "127.0.0.1",
                         std::uint16_t port = 0)
        : acceptor(executor), executor_(executor) {
        tcp::endpoint const at(make_address(host), port);
        acceptor.open(at.protocol());
        acceptor.set_option(tcp::acceptor::reuse_address(true));
        acceptor.bind(at);
        acceptor.listen(0);
        for (int i = 0; i < 4; ++i) {
            auto& socket = fill_.emplace_back(executor_);
            socket.open(at.protocol());
            socket.native_non_blocking(true);
            auto const here = acceptor.local_endpoint();
            (void)connect(socket.native_handle(), here.data(), static_cast<socklen_t>(here.size()));
        }
    }
    std::uint16_t number() const { return acceptor.local_endpoint().port(); }
    tcp::acceptor acceptor;

private:
    asio::any_io_executor executor_;
    std::vector<tcp::socket> fill_;
};

bool enter_namespace_with_one_port(int port) {
    if (unshare(CLONE_NEWNET) != 0) return false;
    auto const any = socket(AF_INET, SOCK_DGRAM, 0);
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    bool const up = ioctl(any, SIOCSIFFLAGS, &loopback) == 0;
    close(any);
    std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
    range << port << " " << port << std::endl;
    return up && range.good();
}

awaitable<std::string> failure_of(awaitable<tcp::socket> connecting) {
    try {
        co_await std::move(connecting);
    } catch (trawl::error const& e) {
        co_return e.what();
    }
    co_return "connected";
}

} // namespace

TEST_CASE("a connection is non-blocking, without delay and goes where it should", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(make_address("127.0.0.1"), 0));
        addresses const where{make_address("127.0.0.1")};
        auto socket = co_await net::connect(where, acceptor.local_endpoint().port());
        CHECK(socket.remote_endpoint() == acceptor.local_endpoint());
        CHECK(socket.native_non_blocking());
        tcp::no_delay at_once;
        socket.get_option(at_once);
        CHECK(at_once.value());
    });
}

TEST_CASE("the next address is tried at once when one refuses", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(make_address("127.0.0.1"), 0));
        auto const port = acceptor.local_endpoint().port();
        addresses const where{make_address("127.0.0.2"), make_address("127.0.0.3"),
                              make_address("127.0.0.1")};
        net::options patient;
        patient.stagger = 20s; // so only a refusal can start the next one in time
        auto const begin = trawl::clock::now();
        auto socket = co_await net::connect(where, port, patient);
        CHECK(socket.remote_endpoint().address() == where[2]);
        CHECK(trawl::clock::now() - begin < 10s);
    });
}

TEST_CASE("an address that does not answer gets a head start only", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(make_address("127.0.0.1"), 0));
        silent_port const silent(executor, "127.0.0.2", acceptor.local_endpoint().port());
        addresses const where{make_address("127.0.0.2"), make_address("127.0.0.1")};
        net::options how;
        how.stagger = 60ms;
        auto const begin = trawl::clock::now();
        auto socket = co_await net::connect(where, silent.number(), how);
        auto const took = trawl::clock::now() - begin;
        CHECK(socket.remote_endpoint().address() == where[1]);
        CHECK(took >= 60ms);
        CHECK(took < 5s);
    });
}

TEST_CASE("the families take turns", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        closed_port const port(executor);
        addresses const where{make_address("::1"), make_address("::1"), make_address("::2"),
                              make_address("127.0.0.1"), make_address("127.0.0.2")};
        auto const said = co_await failure_of(net::connect(where, port.number()));
        INFO(said);
        auto const first = said.find("(::1: "), second = said.find("; 127.0.0.1: "),
                   third = said.find("; ::2: "), fourth = said.find("; 127.0.0.2: ");
        CHECK((first < second && second < third && third < fourth));
        CHECK(fourth != std::string::npos);
        CHECK(said.find("::1: ", first + 5) == std::string::npos); // listed twice, tried once
    });
}

TEST_CASE("a failure names the host and every address with its reason", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        closed_port const port(executor);
        addresses const where{make_address("127.0.0.1"), make_address("127.0.0.2")};
        net::options const how;
        auto const said =
            co_await failure_of(net::connect("web.example", where, port.number(), how));
        CHECK(said == "connect web.example:" + std::to_string(port.number()) +
                          ": Connection refused (127.0.0.1: Connection refused; 127.0.0.2: "
                          "Connection refused)");
        addresses const six{make_address("::1")};
        auto const v6 = co_await failure_of(net::connect(six, port.number()));
        CHECK(v6.find("connect [::1]:") == 0);
    });
}

TEST_CASE("one deadline holds for all addresses together", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        silent_port const one(executor, "127.0.0.1");
        silent_port const two(executor, "127.0.0.2", one.number());
        addresses const where{make_address("127.0.0.1"), make_address("127.0.0.2"),
                              make_address("127.0.0.3")};
        net::options how;
        how.timeout = 150ms;
        how.stagger = 100ms;
        auto const begin = trawl::clock::now();
        try {
            co_await net::connect(where, one.number(), how);
            FAIL("connected to a full queue");
        } catch (trawl::error const& e) {
            CHECK(e.code() == trawl::errc::timed_out);
            CHECK(e.said() == "127.0.0.1: no answer; 127.0.0.2: no answer; 127.0.0.3: not tried");
        }
        auto const took = trawl::clock::now() - begin;
        CHECK(took >= 150ms);
        CHECK(took < 5s);
    });
}

TEST_CASE("without an address there is nothing to connect to", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        try {
            co_await net::connect(addresses(), 22);
            FAIL("connected");
        } catch (trawl::error const& e) {
            CHECK(e.code() == net::errc::no_address);
        }
    });
}

TEST_CASE("a cancelled connect closes every attempt", "[net]") {
    trawl::test::run([]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        silent_port const one(executor, "127.0.0.1");
        silent_port const two(executor, "127.0.0.2", one.number());
        addresses const where{make_address("127.0.0.1"), make_address("127.0.0.2")};
        net::options how;
        how.stagger = 10ms;
        auto const before = trawl::test::open_descriptors();
        for (auto limit : {0ms, 1ms, 15ms, 50ms}) {
            auto connecting = net::connect(where, one.number(), how);
            auto const socket = co_await trawl::within(limit, std::move(connecting));
            CHECK_FALSE(socket);
            CHECK(trawl::test::open_descriptors() == before);
        }
    });
}

TEST_CASE("a connection to itself is a refusal", "[net]") {
    // Linux connects a socket to itself (simultaneous open) when the port that it is given is the
    // one it is to reach. In a network namespace with one ephemeral port that happens every time.
    auto const child = fork();
    if (child == 0) {
        if (!enter_namespace_with_one_port(40'000)) _exit(77);
        int outcome = 1;
        trawl::test::run([&]() -> awaitable<> {
            addresses const where{make_address("127.0.0.1")};
            auto const said = co_await failure_of(net::connect(where, 40'000));
            outcome = said.find("127.0.0.1: Connection refused") == std::string::npos;
        });
        _exit(outcome);
    }
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) trawl::test::skip("needs CAP_SYS_ADMIN for a network namespace");
    CHECK(WEXITSTATUS(status) == 0);
}
