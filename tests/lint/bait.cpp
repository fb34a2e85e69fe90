// Never compiled: coroutines.py must flag exactly the lines that end in a bait mark, for the rule it names.
#include <trawl/trawl.hpp>

using asio::experimental::awaitable_operators::operator||; // bait: banned

namespace bait {

struct options {
    std::string host;
    int port = 22;
};

awaitable<> connect(options o = {}); // bait: default-argument
trawl::awaitable<int> twice(int times, options o = options{.port = 1}); // bait: default-argument
auto later = [](options o = {}) -> awaitable<> { co_return; }; // bait: default-argument

awaitable<> braces(std::string s) {
    co_await connect({.host = s}); // bait: braces
    co_await connect(options{.host = s}); // bait: braces
    auto reply = co_await send(1, "two", letter{s, 3}); // bait: braces
    co_await options{}.resolve(); // bait: braces
    if (co_await connect({s})) co_return; // bait: braces
    while (auto x = co_await next({.host = s})) use(x); // bait: braces
    CHECK(co_await names({"a", "b"}) == 2); // bait: braces, bait: assertion
    co_return co_await connect({.host = s}); // bait: braces
    client c(co_await this_coro::executor, {.host = s}); // bait: braces
    co_await with_timeout(5s,
                          connect({.host = s})); // bait: braces
}

awaitable<> closures(std::string s) {
    co_await pool.run([s] { return s; }); // bait: closure
    co_await pool.run([=] { return s; }); // bait: closure
    co_await pool.run([&, s] { return s; }); // bait: closure
    co_await pool.run([t = std::move(s)] { return t; }); // bait: closure
    co_await pool.run([this, s](int) mutable { return s; }); // bait: closure
    co_await asio::co_spawn(ex, [s]() -> awaitable<> { co_return; }, asio::use_awaitable); // bait: closure
    co_await [s]() -> awaitable<> { co_await f(s); }(); // bait: closure
    co_await with_group([s](task_group& group) -> awaitable<> { // bait: closure
        co_await f(group);
        group.spawn([&]() -> awaitable<> { co_await f(1); }()); // bait: dangling-closure
    });
    auto t = [u = co_await make()] { return u; }; // bait: await-in-capture
    group.spawn([s]() -> awaitable<> { co_return; }()); // bait: dangling-closure
}

awaitable<std::string> conditionals(bool b) {
    auto t = b ? co_await make() : std::string(); // bait: conditional
    t = b ? std::string() : co_await make(); // bait: conditional
    use(b ? co_await make() : t); // bait: conditional
    co_return b ? co_await make() : t; // bait: conditional
}

awaitable<> initialisers() {
    pair p{co_await make(), 1}; // bait: await-in-braces
    options o{.host = co_await make()}; // bait: await-in-braces
    auto a = std::array{co_await make()}; // bait: await-in-braces
    options q = {.host = co_await make()}; // bait: await-in-braces
    co_return options{co_await make()}; // bait: await-in-braces
}

asio::experimental::channel<void(error_code, int)> pipe(ex, 1); // bait: banned
asio::ip::tcp::resolver names(ex); // bait: banned

awaitable<> asserts() {
    CHECK(co_await answer() == 42); // bait: assertion
    REQUIRE_FALSE(co_await empty()); // bait: assertion
}

awaitable<bool> without_locals(std::string name) {
    if (co_await count(name) == 0) co_return false; // bait: condition
    try {
        while (co_await count(name) > 1) // bait: condition
            co_await wait();
    } catch (std::exception const&) {
        co_return count > none;
    }
    co_return true;
}

class holder {
    awaitable<> method() {
        for (int i = 0; i < 3; ++i) {
            try {
                co_await run([i, s = text] { return s; }); // bait: closure
            } catch (std::exception const&) {
                note("no co_await here", [i] { return i; });
            }
        }
    }
    awaitable<> other() const {
        auto each = [this]() -> awaitable<> {
            switch (co_await count(this)) { // bait: condition
            case 1: co_return;
            }
        };
        if (co_await count(this)) co_await each();
    }
};

} // namespace bait
