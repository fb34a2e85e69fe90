// page2 TARGETS USER KEY KNOWN_HOSTS PORT COMMAND: a command on every host that answers a ping.
#include "inspect.hpp"
#include "run.hpp"

awaitable<> print_answers(plan const& p, trawl::offload_pool& blocking) {
    hosts up(64);
    answers found(64);
    auto const how = co_await login(p, blocking);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(find_hosts(p.targets, up));
        group.spawn(inspect_all(up, how, p.command, found));
        while (auto one = co_await found.pop())
            std::cout << (one->well ? "ok   " : "FAIL ") << one->host << ": " << one->text;
    };
    co_await trawl::with_group(body);
}

int main(int count, char** words) try {
    plan const p(count, words, 6);
    asio::io_context io(1);
    trawl::offload_pool blocking(trawl::offload_pool::options{.threads = 1, .name = "files"});
    return run(io, print_answers(p, blocking));
} catch (std::exception const& e) {
    std::cerr << "page2: " << e.what() << "\n";
    return 2;
}
