// page4 TARGETS USER KEY KNOWN_HOSTS PORT COMMAND SMTP_PORT TO SOURCE BACKUPS: one whole night.
#include "night.hpp"
#include "run.hpp"

awaitable<> one_night(plan const& p, helpers with) {
    auto const receipt = co_await night(p, with);
    for (auto const& one : receipt.recipients)
        std::cout << one.address << ": " << to_string(one.status) << " " << one.text << "\n";
}

int main(int count, char** words) try {
    plan const p(count, words, 10);
    asio::io_context io(1);
    trawl::offload_pool cpu;
    trawl::offload_pool blocking(trawl::offload_pool::options{.threads = 1, .name = "files"});
    trawl::observer silent;
    return run(io, one_night(p, {cpu, blocking, silent}));
} catch (std::exception const& e) {
    std::cerr << "page4: " << e.what() << "\n";
    return 2;
}
