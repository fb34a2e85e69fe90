#include "cli/doctor.hpp"

#include "cli/verb.hpp"

#include <trawl/ssh.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <netinet/in.h>
#include <pwd.h>
#include <sstream>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace trawl::cli {
namespace doctor {
namespace {

std::string reason(int number) { return std::generic_category().message(number); }

/// `word` for a POSIX shell.
std::string quoted(std::string const& word) {
    std::string text = "'";
    for (char const c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

constexpr unsigned others_may_write = 022, others_may_anything = 077;

/// The permission bits of what is at `path`; 0 when nothing is there.
unsigned mode_of(std::filesystem::path const& path) {
    struct stat seen {};
    return ::stat(path.c_str(), &seen) == 0 ? seen.st_mode & 07777u : 0;
}

bool is_private_key(std::filesystem::path const& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line.find("PRIVATE KEY") != std::string::npos;
}

/// Counts what the index of known hosts complains about.
class complaints final : public observer {
public:
    void log(severity, std::string_view where, std::string_view text) override {
        if (count_++ == 0) first_ = fmt::format("{}: {}", where, text);
    }
    std::size_t count() const noexcept { return count_; }
    std::string const& first() const noexcept { return first_; }

private:
    std::size_t count_ = 0;
    std::string first_;
};

} // namespace

std::vector<finding> pinging(int raw, std::string_view groups, std::vector<unsigned> const& member,
                             std::string const& program) {
    unsigned long low = 1, high = 0;
    std::istringstream(std::string(groups)) >> low >> high;
    bool const datagram = std::any_of(member.begin(), member.end(), [&](unsigned group) {
        return low <= group && group <= high;
    });
    finding privileged{"raw socket", raw == 0 || datagram, "permitted", ""};
    if (raw != 0) {
        privileged.detail = reason(raw);
        if (datagram) privileged.detail += "; the unprivileged kind is used instead";
        privileged.repair = "sudo setcap cap_net_raw+ep " + quoted(program);
    }
    finding unprivileged{"unprivileged ping", raw == 0 || datagram, "permitted", ""};
    if (!datagram) {
        unprivileged.detail = fmt::format(
            "net.ipv4.ping_group_range is {} {}, none of this user's groups is in it", low, high);
        if (raw == 0) unprivileged.detail += "; not needed beside a raw socket";
        unprivileged.repair = "sudo sysctl -w net.ipv4.ping_group_range='0 2147483647'";
    }
    return {privileged, unprivileged};
}

finding descriptors(std::uint64_t hard) {
    constexpr std::uint64_t enough = 4096;
    finding seen{"file descriptors", hard >= enough, "", ""};
    seen.detail = hard == RLIM_INFINITY ? "no limit" : fmt::format("up to {} at a time", hard);
    if (!seen.ok) {
        seen.detail += fmt::format(", {} are wanted for a thousand hosts and more", enough);
        seen.repair = "echo '* hard nofile 65536' | sudo tee /etc/security/limits.d/trawl.conf";
    }
    return seen;
}

awaitable<finding> name_servers(dns::resolver::options where) {
    finding seen{"resolver", true, "", ""};
    auto executor = co_await asio::this_coro::executor;
    auto const file = where.resolv_conf.string();
    std::string const name = "trawl-doctor.invalid.";
    try {
        dns::resolver names(executor, std::move(where));
        auto const addresses = co_await names.addresses(name);
        seen.detail = fmt::format("answers even for {} ({}): names that do not exist seem to exist",
                                  name, addresses.front().to_string());
    } catch (error const& e) {
        if (is_cancelled(e)) throw;
        if (e.code() == dns::errc::not_found) {
            seen.detail = "answers";
        } else {
            seen.ok = false;
            seen.detail = e.what();
            seen.repair = "cat " + quoted(file) + " # is its nameserver the right one, and up?";
        }
    }
    co_return seen;
}

finding clock(bool synchronised, double off_by, std::int64_t now) {
    // Before this a certificate of today is not valid yet, and backups sort wrongly.
    constexpr std::int64_t year_2024 = 1'704'067'200;
    finding seen{"clock", synchronised && now >= year_2024, "", ""};
    if (now < year_2024)
        seen.detail = "is years behind";
    else if (!synchronised)
        seen.detail = "the kernel says that nobody synchronises it";
    else
        seen.detail = fmt::format("synchronised, off by {:.3f} s at most", off_by);
    if (!seen.ok) seen.repair = "sudo timedatectl set-ntp true";
    return seen;
}

finding keys(std::filesystem::path const& folder) {
    finding seen{"keys", true, "", ""};
    std::error_code failure;
    std::vector<std::string> good, open;
    for (auto const& file : std::filesystem::directory_iterator(folder, failure)) {
        auto const name = file.path().filename().string();
        if (name.rfind("id_", 0) != 0 || file.path().extension() == ".pub") continue;
        if (!is_private_key(file.path())) continue;
        (mode_of(file.path()) & others_may_anything ? open : good).push_back(file.path().string());
    }
    std::sort(open.begin(), open.end());
    if ((mode_of(folder) & others_may_write) != 0) {
        seen.ok = false;
        seen.detail = folder.string() + " can be written by others";
        seen.repair = "chmod 700 " + quoted(folder.string());
    } else if (!open.empty()) {
        seen.ok = false;
        seen.detail = fmt::format("{} can be read by others", fmt::join(open, ", "));
        seen.repair = "chmod 600";
        for (auto const& file : open) seen.repair += " " + quoted(file);
    } else if (good.empty()) {
        seen.detail = "none in " + folder.string() + ": log in with --identity or a password";
        seen.repair = "ssh-keygen -t ed25519";
    } else {
        seen.detail = fmt::format("{} in {}", good.size(), folder.string());
    }
    return seen;
}

finding known_hosts(std::filesystem::path const& folder) {
    auto const file = folder / "known_hosts";
    finding seen{"known hosts", true, "", ""};
    std::error_code failure;
    if (!std::filesystem::exists(file, failure)) {
        seen.detail = file.string() + " is not there: new hosts need --host-key accept-new";
        seen.repair = "ssh-keyscan -H HOST >> " + quoted(file.string());
        return seen;
    }
    if ((mode_of(file) & others_may_write) != 0) {
        seen.ok = false;
        seen.detail = file.string() + " can be written by others";
        seen.repair = "chmod 600 " + quoted(file.string());
        return seen;
    }
    complaints heard;
    ssh::host_keys::options from;
    from.file = file;
    from.log = &heard;
    try {
        ssh::host_keys const index(from);
        seen.detail = fmt::format("{} entries in {}", index.size(), file.string());
        if (heard.count() > 0)
            seen.detail += fmt::format(", {} lines passed over ({})", heard.count(), heard.first());
    } catch (error const& e) {
        seen.ok = false;
        seen.detail = e.what();
        seen.repair = "chmod u+r " + quoted(file.string());
    }
    return seen;
}

} // namespace doctor

namespace {

using doctor::finding;

std::filesystem::path ssh_folder() {
    auto const* home = std::getenv("HOME");
    if (!home || !*home) {
        auto const* user = ::getpwuid(::geteuid());
        home = user ? user->pw_dir : "/";
    }
    return std::filesystem::path(home) / ".ssh";
}

int open_raw_socket() {
    int const descriptor = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (descriptor < 0) return errno;
    ::close(descriptor);
    return 0;
}

std::vector<unsigned> groups_of_this_process() {
    std::vector<unsigned> all(1, ::getegid());
    int const count = ::getgroups(0, nullptr);
    if (count <= 0) return all;
    std::vector<gid_t> more(static_cast<std::size_t>(count));
    int const got = ::getgroups(count, more.data());
    for (int i = 0; i < got; ++i) all.push_back(more[static_cast<std::size_t>(i)]);
    return all;
}

std::string text_of(char const* file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// What can be seen without waiting for anybody. Reads a handful of small files.
std::vector<finding> look_at_this_machine() {
    std::error_code failure;
    auto const program = std::filesystem::read_symlink("/proc/self/exe", failure).string();
    auto const range = text_of("/proc/sys/net/ipv4/ping_group_range");
    auto all = doctor::pinging(open_raw_socket(), range, groups_of_this_process(), program);

    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    all.push_back(doctor::descriptors(files.rlim_max));

    timex kernel{}; // modes 0: nothing is set
    bool const synchronised = ::adjtimex(&kernel) != TIME_ERROR && !(kernel.status & STA_UNSYNC);
    all.push_back(doctor::clock(synchronised, static_cast<double>(kernel.maxerror) / 1e6,
                                static_cast<std::int64_t>(::time(nullptr))));
    all.push_back(doctor::keys(ssh_folder()));
    all.push_back(doctor::known_hosts(ssh_folder()));
    return all;
}

void show(environment& here, finding const& seen) {
    if (here.words().json) {
        auto const repair = seen.repair.empty() ? boost::json::value() : json::text(seen.repair);
        here.out().record(json::record("check", "doctor")
                              .field("name", seen.name)
                              .field("status", seen.ok ? "ok" : "problem")
                              .field("detail", seen.detail)
                              .field("repair", repair));
        return;
    }
    auto const word = seen.ok ? "ok" : "problem";
    here.out().line(escaped(fmt::format("{}: {}, {}", seen.name, word, seen.detail)));
    if (!seen.repair.empty())
        here.out().line(escaped(fmt::format("    {}: {}", seen.ok ? "or" : "repair", seen.repair)));
}

awaitable<int> examine(environment& here, dns::resolver::options names) {
    auto const began = trawl::clock::now();
    std::uint64_t good = 0, problems = 0;
    auto const note = [&](finding const& seen) {
        ++(seen.ok ? good : problems);
        show(here, seen);
    };
    auto const local = look_at_this_machine();
    for (auto const& seen : local) note(seen);
    note(co_await doctor::name_servers(std::move(names)));

    int const code = here.outcome(problems ? some_failed : all_well);
    if (here.words().json)
        here.out().record(json::record("summary", "doctor")
                              .field("targets", good + problems)
                              .field("ok", good)
                              .field("problem", problems)
                              .field("elapsed", trawl::clock::now() - began)
                              .field("exit", code));
    co_return code;
}

} // namespace

void add_doctor(CLI::App& app, action& chosen) {
    auto* verb = app.add_subcommand("doctor", "What this machine lacks, and the command for it");
    auto const names = std::make_shared<dns::resolver::options>();
    names->deadline = std::chrono::seconds(5);
    verb->add_option("--dns", names->servers,
                     "Ask this name server, ADDR[:PORT], not resolv.conf's");
    verb->callback([names, &chosen] {
        chosen = [names](environment& here) { return here.run(examine(here, *names)); };
    });
}

} // namespace trawl::cli
