#include "test.hpp"

#include "ssh/turns.hpp"

#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace {

using trawl::ssh::detail::turn_taker, trawl::ssh::detail::turns;

/// Uses up the budget of a turn (0.25 ms), and takes note.
struct busy final : turn_taker {
    busy(char letter, std::string& to) : name(letter), seen(to) {}
    void take_turn() override {
        auto const until = std::chrono::steady_clock::now() + std::chrono::microseconds(300);
        while (std::chrono::steady_clock::now() < until) {
        }
        seen += name;
    }
    char name;
    std::string& seen;
};

} // namespace

TEST_CASE("sessions beyond the budget wait until the loop has been round", "[ssh]") {
    asio::io_context io;
    std::string seen;
    auto const line = turns::of(io.get_executor());
    auto const a = std::make_shared<busy>('a', seen), b = std::make_shared<busy>('b', seen);
    line->stand_in_line(a);
    line->stand_in_line(b);
    asio::post(io, [&] { seen += '.'; });
    io.run();
    CHECK(seen == "a.b");
}

TEST_CASE("a session that is gone is passed over in its line", "[ssh]") {
    asio::io_context io;
    std::string seen;
    auto const line = turns::of(io.get_executor());
    auto const b = std::make_shared<busy>('b', seen);
    line->stand_in_line(std::make_shared<busy>('a', seen));
    line->stand_in_line(b);
    io.run();
    CHECK(seen == "b");
    line->stand_in_line(b);
    io.restart();
    io.run();
    CHECK(seen == "bb");
}

TEST_CASE("each executor of a context has one line", "[ssh]") {
    asio::io_context io;
    auto const one = asio::make_strand(io), other = asio::make_strand(io);
    auto const line = turns::of(one);
    CHECK(turns::of(one) == line);
    CHECK(turns::of(other) != line);
    CHECK(turns::of(io.get_executor()) != line);
}

TEST_CASE("a context that ends with sessions in line takes the line with it", "[ssh]") {
    std::string seen;
    auto const a = std::make_shared<busy>('a', seen);
    std::weak_ptr<turns> line;
    {
        asio::io_context io;
        auto const made = turns::of(io.get_executor());
        line = made;
        made->stand_in_line(a);
    }
    CHECK(line.expired());
    CHECK(seen.empty());
}
