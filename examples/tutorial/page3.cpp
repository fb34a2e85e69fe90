// page3 TARGETS USER KEY KNOWN_HOSTS PORT COMMAND SMTP_PORT TO: the answers in a letter.
#include "report.hpp"
#include "run.hpp"

awaitable<> mail_answers(plan const& p, trawl::offload_pool& blocking) {
    hosts up(64);
    answers found(64);
    std::string text;
    auto const how = co_await login(p, blocking);
    auto const body = [&](trawl::task_group& group) -> awaitable<> {
        group.spawn(find_hosts(p.targets, up));
        group.spawn(inspect_all(up, how, p.command, found));
        text = co_await gather(found);
    };
    co_await trawl::with_group(body);
    auto const receipt = co_await mail_report(p, text);
    for (auto const& one : receipt.recipients)
        std::cout << one.address << ": " << to_string(one.status) << " " << one.text << "\n";
}

int main(int count, char** words) try {
    plan const p(count, words, 8);
    asio::io_context io(1);
    trawl::offload_pool blocking(trawl::offload_pool::options{.threads = 1, .name = "files"});
    return run(io, mail_answers(p, blocking));
} catch (std::exception const& e) {
    std::cerr << "page3: " << e.what() << "\n";
    return 2;
}
