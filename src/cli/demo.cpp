#include "cli/run_output.hpp"
#include "cli/verb.hpp"

#include "lab/lab.hpp"

#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

/// A fresh folder in the temporary directory; it stays, so that its results can be looked at.
fs::path fresh_folder() {
    auto pattern = (fs::temp_directory_path() / "trawl-demo-XXXXXX").string();
    if (!::mkdtemp(pattern.data()))
        throw std::system_error(errno, std::generic_category(), "make " + pattern);
    return pattern;
}

void write_file(fs::path const& path, std::string const& text) {
    fs::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary);
    out << text;
    out.close();
    if (!out) throw std::system_error(errno, std::generic_category(), "write " + path.string());
}

/// Something to back up: a few hundred small files and one of 16 MiB.
void make_source(fs::path const& folder) {
    std::string big;
    for (int line = 0; big.size() < (16u << 20); ++line)
        big += fmt::format("{:08} a line of a log that compresses\n", line * 7919);
    write_file(folder / "big.log", big);
    for (int i = 0; i < 300; ++i)
        write_file(folder / fmt::format("etc/part{:02}/file{:03}.conf", i % 20, i),
                   fmt::format("# file {}\nvalue = {}\n", i, i * i));
}

std::string plan_text(lab::world const& world, fs::path const& folder) {
    return fmt::format(R"([sweep]
targets = ["127.7.0.0/28"]

[ssh]
user = "{}"
port = {}
identity = "{}"
host_key = "strict"
known_hosts = "{}"
commands = ["uname -sr", "echo to stderr >&2", "exit 0"]
jobs = 100
timeout = 10.0

[[backup]]
source = "{}"
destination = "{}"
name = "demo"
full_on = "mon"

[mail]
server = "{}:{}"
from = "Night run <ops@example.org>"
to = ["admin@example.org", "Zoë <zoe@example.org>"]
subject = "trawl demo: 夜间巡检"
)",
                       world.user(), world.ssh_port(), world.key_path().string(),
                       world.known_hosts_path().string(), (folder / "source").string(),
                       (folder / "backups").string(), world.smtp_address().to_string(),
                       world.smtp_port());
}

awaitable<int> demo(environment& here, lab::world& world, fs::path plan) {
    int code = some_failed;
    auto body = [&](task_group& group) -> awaitable<> {
        group.spawn_background(world.serve());
        code = co_await run_plan(here, plan::load(plan));
    };
    co_await with_group(body);
    co_return code;
}

int run_demo(environment& here) {
    auto const folder = fresh_folder();
    lab::options hosts;
    for (unsigned i = 0; i < 16; ++i)
        hosts.hosts.push_back(asio::ip::make_address_v4(0x7f070000u + i));
    hosts.dir = folder / "lab";
    hosts.starter = &here.blocking();
    hosts.watch = &here.log();
    lab::world world(here.io().get_executor(), std::move(hosts));
    make_source(folder / "source");
    auto const plan = folder / "plan.toml";
    write_file(plan, plan_text(world, folder));
    int const code = here.run(demo(here, world, plan));
    fmt::print(stderr,
               "\nplan:     {}\narchives: {}\nmail:     {}\nonce more, by hand: trawl lab, trawl "
               "ping 127.7.0.0/28, "
               "trawl ssh, trawl mail, trawl backup restore {} TARGET\n",
               plan.string(), (folder / "backups").string(), (world.maildir() / "new").string(),
               (folder / "backups").string());
    return code;
}

} // namespace

void add_demo(CLI::App& app, action& chosen) {
    auto* verb =
        app.add_subcommand("demo", "The main job against 16 embedded hosts, without any set-up");
    verb->callback([&chosen] { chosen = run_demo; });
}

} // namespace trawl::cli
