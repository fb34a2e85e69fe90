// The peers of bench/compare and bench-mixed in a process of their own: the lab, with answers that cost no process and with
// the patience of sshd.
//
//     bench-lab DIR HOSTS
//
// HOSTS are targets ("127.8.0.0/22"). Serves at free ports until it is killed; DIR gets keys and known_hosts, DIR/mail the mail.
// Prints "ready SSH_PORT SMTP_PORT". SSH and mail have a share of the loop each, for they stand for machines that do not know
// of each other.
#include "lab/lab.hpp"

#include <trawl/error.hpp>
#include <trawl/fair_share.hpp>
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
        lab::options mail;
        mail.dir = options.dir / "mail";
        mail.hosts = {options.hosts.front()};
        asio::io_context io(1);
        fair_share const for_ssh(io.get_executor()), for_mail(io.get_executor());
        lab::world hosts_world(for_ssh.executor(), std::move(options));
        lab::world mail_world(for_mail.executor(), std::move(mail));
        auto const rethrow = [](std::exception_ptr why) {
            if (why) std::rethrow_exception(why);
        };
        asio::co_spawn(for_ssh.executor(), hosts_world.serve(), rethrow);
        asio::co_spawn(for_mail.executor(), mail_world.serve(), rethrow);
        std::printf("ready %u %u\n", hosts_world.ssh_port(), mail_world.smtp_port());
        std::fflush(stdout);
        io.run();
    } catch (std::exception const& why) {
        return std::fprintf(stderr, "bench-lab: %s\n", why.what()), 1;
    }
}
