#include "cli/targets.hpp"
#include "cli/verb.hpp"

#include "json/record.hpp"
#include "lab/lab.hpp"

#include <trawl/error.hpp>

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::cli {
namespace {

// Each host takes a descriptor and a listening port.
constexpr std::uint64_t most_hosts = 20'000;

struct request {
    std::vector<std::string> hosts{"127.7.0.1-10"}, refuse, hang, die;
    lab::options options;
    std::string dir;
};

std::vector<asio::ip::address> read_addresses(std::vector<std::string> const& words) {
    std::vector<asio::ip::address> all;
    if (words.empty()) return all;
    auto const list = read_targets(words);
    if (list.size() > most_hosts)
        throw usage_error(fmt::format("lab: {} hosts; {} at most", list.size(), most_hosts));
    targets::cursor each(list);
    while (auto const target = each.next()) {
        if (!target->address)
            throw usage_error("lab: " + target->name + " is a name; give addresses");
        if (target->port)
            throw usage_error("lab: " + target->to_string() + ": the port goes into --ssh-port");
        if (!target->address->is_loopback())
            throw usage_error("lab: " + target->to_string() +
                              " is not loopback (127.0.0.0/8 or ::1)");
        all.push_back(*target->address);
    }
    return all;
}

lab::options read_options(request const& asked) {
    auto options = asked.options;
    options.hosts = read_addresses(asked.hosts);
    if (options.hosts.empty()) throw usage_error("lab: --hosts names no address");
    auto const mark = [&](std::vector<std::string> const& words, lab::fault how) {
        for (auto const& address : read_addresses(words)) options.faults[address] = how;
    };
    mark(asked.refuse, lab::fault::refuse);
    mark(asked.hang, lab::fault::hang);
    mark(asked.die, lab::fault::die);
    options.dir = asked.dir;
    options.keep_dir = true;
    return options;
}

// For a shell: quoted only when it must be.
std::string quoted(std::string const& word) {
    auto const plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("/._-+:,@%[]").find(c) != std::string_view::npos;
    };
    if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
    std::string text = "'";
    for (char const c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

std::string joined(std::vector<std::string> const& words) {
    std::string all;
    for (auto const& word : words) all += (all.empty() ? "" : " ") + quoted(word);
    return all;
}

void announce(environment& env, lab::world const& world, std::vector<std::string> const& hosts) {
    auto const key = quoted(world.key_path().string()),
               known = quoted(world.known_hosts_path().string());
    auto const first = world.hosts().front().to_string();
    auto const smtp = fmt::format(fmt::runtime(world.smtp_address().is_v6() ? "[{}]:{}" : "{}:{}"),
                                  world.smtp_address().to_string(), world.smtp_port());
    if (env.words().json) {
        boost::json::array addresses;
        for (auto const& host : world.hosts()) addresses.push_back(json::text(host.to_string()));
        json::record record("lab", "lab");
        record.field("hosts", std::move(addresses))
            .field("ssh_port", world.ssh_port())
            .field("smtp_server", smtp)
            .field("user", world.user())
            .field("identity", world.key_path().string())
            .field("password_file", world.password_path().string())
            .field("known_hosts", world.known_hosts_path().string())
            .field("maildir", world.maildir().string());
        env.out().record(record);
    }
    if (env.words().quiet) return;
    auto const text = fmt::format(
        "{count} SSH hosts at port {port} and a mail server at {smtp}; Ctrl-C ends them\n"
        "  key          {key}\n"
        "  password     {password}\n"
        "  known hosts  {known}\n"
        "  mail         {mail}\n"
        "try:\n"
        "  trawl ssh -u {user} -i {key} -p {port} --known-hosts {known} {targets} -- uname -a\n"
        "  ssh -i {key} -o UserKnownHostsFile={known} -p {port} {user}@{first} uptime\n"
        "  echo hello | trawl mail --server {smtp} -f me@example.org -s hello you@example.org\n",
        fmt::arg("count", world.hosts().size()), fmt::arg("port", world.ssh_port()),
        fmt::arg("smtp", smtp), fmt::arg("key", key),
        fmt::arg("password", quoted(world.password_path().string())), fmt::arg("known", known),
        fmt::arg("mail", quoted((world.maildir() / "new").string())),
        fmt::arg("user", world.user()), fmt::arg("targets", joined(hosts)),
        fmt::arg("first", first));
    std::fputs(text.c_str(), stderr);
}

void summarise(environment& env, lab::world const& world, time_point began) {
    auto const seen = world.stats();
    if (env.words().json) {
        json::record record("summary", "lab");
        record.field("targets", world.hosts().size())
            .field("connections", seen.connections)
            .field("logins", seen.logins)
            .field("commands", seen.commands)
            .field("messages", seen.messages)
            .field("elapsed", clock::now() - began)
            .field("exit", static_cast<int>(all_well));
        env.out().record(record);
    }
    if (env.words().quiet) return;
    auto text = fmt::format("{} connections, {} logins, {} commands, {} messages", seen.connections,
                            seen.logins, seen.commands, seen.messages);
    if (seen.messages > 0) text += " in " + (world.maildir() / "new").string();
    std::fprintf(stderr, "%s\n", text.c_str());
}

awaitable<int> serve(environment& env, lab::options options, std::vector<std::string> hosts) {
    auto const began = clock::now();
    lab::world world(env.io().get_executor(), std::move(options));
    announce(env, world, hosts);
    try {
        co_await world.serve();
    } catch (std::system_error const& failure) {
        if (!env.was_interrupted() || !is_cancelled(failure)) throw;
    }
    summarise(env, world, began);
    co_return all_well; // it was asked to stop, and did
}

} // namespace

void add_lab(CLI::App& app, action& chosen) {
    auto& verb = *app.add_subcommand(
        "lab", "Serve SSH hosts and a mail server on loopback, to try things on");
    auto const asked = std::make_shared<request>();
    asked->options.ssh_port = 2222;
    asked->options.smtp_port = 2525;
    verb.add_option("--hosts", asked->hosts, "Loopback addresses of the SSH hosts (127.7.0.1-10)")
        ->type_name("TARGETS");
    verb.add_option("--ssh-port", asked->options.ssh_port, "The hosts' port (2222); 0: a free one")
        ->type_name("P");
    verb.add_option("--smtp-port", asked->options.smtp_port,
                    "The mail server's port (2525); 0: a free one")
        ->type_name("P");
    verb.add_option("--dir", asked->dir,
                    "For keys, password, known_hosts and mail (a temporary folder)");
    verb.add_option("--refuse", asked->refuse, "Hosts that refuse connections")
        ->type_name("TARGETS");
    verb.add_option("--hang", asked->hang, "Hosts that accept and never answer")
        ->type_name("TARGETS");
    verb.add_option("--die", asked->die,
                    "Hosts that drop the connection in the middle of a command")
        ->type_name("TARGETS");
    verb.footer("Commands run as you. Nothing here can be reached from another machine.");
    verb.callback([asked, &chosen] {
        chosen = [asked](environment& env) {
            auto options = read_options(*asked);
            options.watch = &env.log();
            options.starter = &env.blocking();
            return env.run(serve(env, std::move(options), asked->hosts));
        };
    });
}

} // namespace trawl::cli
