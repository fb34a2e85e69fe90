#include "plan/lock_owner.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include <unistd.h>

namespace trawl::plan {
namespace {

std::string first_word(char const* file) {
    std::ifstream in(file);
    std::string word;
    in >> word;
    return word.empty() ? "-" : word;
}

/// Field 22 of proc(5)'s stat; what stands before may hold blanks, in parentheses. 0: no such
/// process.
std::uint64_t start_of(std::int64_t pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
    std::string const all((std::istreambuf_iterator<char>(in)), {});
    auto const end = all.rfind(')');
    if (end == std::string::npos) return 0;
    std::istringstream rest(all.substr(end + 1));
    std::string skipped;
    for (int field = 3; field < 22; ++field) rest >> skipped;
    std::uint64_t ticks = 0;
    rest >> ticks;
    return ticks;
}

} // namespace

lock_owner lock_owner::self() {
    lock_owner me;
    char name[256] = {};
    me.host = ::gethostname(name, sizeof name - 1) == 0 && *name ? name : "-";
    me.machine = first_word("/etc/machine-id");
    me.boot = first_word("/proc/sys/kernel/random/boot_id");
    me.pid = ::getpid();
    me.started = start_of(me.pid);
    return me;
}

std::optional<lock_owner> lock_owner::parse(std::string_view line) {
    std::istringstream words{std::string(line.substr(0, 1024))};
    lock_owner by;
    if (words >> by.host >> by.machine >> by.boot >> by.pid >> by.started && by.pid > 0) return by;
    return std::nullopt;
}

std::string lock_owner::text() const {
    return fmt::format("{} {} {} {} {}\n", host, machine, boot, pid, started);
}

bool lock_owner::is_gone() const {
    auto const here = self();
    // Containers may share the one id or the other; a process number is of its own name space.
    if (host != here.host || machine != here.machine) return false;
    if (boot != here.boot) return machine != "-" && boot != "-";
    return start_of(pid) != started;
}

std::string lock_owner::words() const {
    return fmt::format("process {} on {} has made it; if that is no more, remove the file", pid,
                       host);
}

} // namespace trawl::plan
