// The peers of bench/compare and bench-mixed in a process of their own: the lab, with answers that cost no process and with
// the patience of sshd.
//
//     bench-lab DIR HOSTS
//
// HOSTS are targets ("127.8.0.0/22"). Serves at free ports until it is killed; DIR gets keys, known_hosts and mail. Prints
// "ready SSH_PORT SMTP_PORT".
#include "lab/lab.hpp"

#include <trawl/error.hpp>
#include <trawl/targets.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <cstdio>
#include <utility>

#include <sys/resource.h>

int main(int count, char** word) {
    using namespace trawl;
    if (count != 3) return std::fputs("bench-lab DIR HOSTS\n", stderr), 2;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    try {
        lab::options options;
        options.dir = word[1];
        options.user = "bench";
        options.canned["echo ok"] = {"ok\n"};
        options.login_grace = std::chrono::minutes(2); // sshd's LoginGraceTime
        auto const hosts = targets::parse(word[2]);
        targets::cursor walk(hosts);
        while (auto const next = walk.next()) options.hosts.push_back(next->address.value());
        asio::io_context io(1);
        lab::world world(io.get_executor(), std::move(options));
        asio::co_spawn(io, world.serve(), [](std::exception_ptr why) {
            if (why) std::rethrow_exception(why);
        });
        std::printf("ready %u %u\n", world.ssh_port(), world.smtp_port());
        std::fflush(stdout);
        io.run();
    } catch (std::exception const& why) {
        return std::fprintf(stderr, "bench-lab: %s\n", why.what()), 1;
    }
}
