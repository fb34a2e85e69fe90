// Never compiled: what g++ 12 gets right and the conventions ask for; coroutines.py must flag nothing here.
#include <trawl/trawl.hpp>

namespace clean {

struct options {
    std::string host{"localhost"};
    std::chrono::milliseconds timeout{3000};
};

awaitable<> connect(options o);
awaitable<> named(std::string where = {}, duration limit = duration{5});
template <class T>
awaitable<T> limited(duration limit, awaitable<T> operation, std::string where = {}) {
    auto result = co_await run_within(clock::now() + limit, std::move(operation));
    if (!result) throw error(errc::timed_out, std::move(where));
    co_return std::move(*result);
}

awaitable<> named_first(std::string s, std::vector<int> numbers) {
    options o{.host = s};
    co_await connect(o);
    ssh::session c(ex, {.host = s});
    co_await c.connect();
    auto work = [data = s, n = 3] { return data.size(); };
    auto size = co_await pool.run(std::move(work));
    co_await pool.run([] { return 1; });
    co_await pool.run([&] { return s; });
    co_await pool.run([&s, this] { return s; });
    co_await [&]() -> awaitable<> { co_await f(s); }();
    auto host = co_await name();
    auto body = [&](task_group& group) -> awaitable<> {
        for (auto n : numbers) group.spawn(f(n));
        while (auto x = co_await queue.pop()) use(*x, {1, 2});
        co_return;
    };
    co_await with_group(body);
    co_await sleep_for(std::chrono::milliseconds{5});
    co_await send(std::string("text"), std::vector<int>(2), table[0], numbers[size]);
    // co_await connect({.host = s});
    log("co_await connect({.host = s})", R"(co_await f([s] {}))", '{', 1'000'000);
    if (co_await ready()) use(options{.host = s});
    for (auto& part : co_await list()) use(part ? options{.host = s} : options{});
    int const port = s.empty() ? 22 : 2222;
    bool const up = co_await ping(host) ? true : false;
    if (up) use(co_await name());
    else use(std::string());
    std::sort(numbers.begin(), numbers.end(), [port](int a, int b) { return a + port < b; });
    co_await connect({.port = 1}); // g++12: trivially copyable
    switch (co_await answer()) {
    case 1: use(options{.host = s}); break;
    default: co_return;
    }
    [[maybe_unused]] auto last = co_await name();
    auto again = [s]() -> awaitable<> { co_await f(s); };
    co_await again();
    asio::co_spawn(io, again, [s](std::exception_ptr) { use(s); });
}

awaitable<bool> names_beside_a_condition(std::string name) {
    if (co_await count(name) == 0) co_return false;
    while (busy(name)) co_await wait();
    std::map<int, std::string> all{};
    co_return true;
}

awaitable<bool> a_condition_declares(std::string name) {
    while (auto more = co_await next(name)) use(name);
    co_return co_await count(name) == 0;
}

} // namespace clean
