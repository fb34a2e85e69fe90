// page1 TARGETS: the addresses that answer, as they answer.
#include "run.hpp"
#include "sweep.hpp"

#include <trawl/task_group.hpp>

awaitable<> print_hosts(trawl::targets::list where) {
    hosts up(64);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(find_hosts(where, up));
        while (auto host = co_await up.pop()) std::cout << *host << " is up\n";
    };
    co_await trawl::with_group(body);
}

int main(int count, char** words) try {
    trawl::targets::list where;
    for (int i = 1; i < count; ++i) where.add(words[i]);
    asio::io_context io(1);
    return run(io, print_hosts(where));
} catch (trawl::error const& e) { // a target that the grammar does not know
    std::cerr << e.what() << "\n";
    return 2;
}
