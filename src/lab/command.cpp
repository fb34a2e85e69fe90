#include "lab/command.hpp"

#include <asio/use_awaitable.hpp>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace trawl::lab {
namespace {

[[noreturn]] void throw_code(int code, char const* what) {
    throw std::system_error(code, std::generic_category(), what);
}

struct two_ends {
    descriptor ours, theirs;
};

two_ends make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_code(errno, "pipe");
    two_ends made{descriptor(ends[0]), descriptor(ends[1])};
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) throw_code(errno, "fcntl");
    return made;
}

two_ends make_socket_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw_code(errno, "socketpair");
    return {descriptor(ends[0]), descriptor(ends[1])};
}

class spawn_plan {
public:
    spawn_plan() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    spawn_plan(spawn_plan const&) = delete;
    spawn_plan& operator=(spawn_plan const&) = delete;
    ~spawn_plan() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    static void check(int code) {
        if (code != 0) throw_code(code, "posix_spawn");
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

pid_t spawn_shell(command::options const& what, int in, int out, int err) {
    spawn_plan plan;
    plan.check(::posix_spawn_file_actions_addchdir_np(&plan.actions, what.directory.c_str()));
    plan.check(::posix_spawn_file_actions_adddup2(&plan.actions, in, 0));
    plan.check(::posix_spawn_file_actions_adddup2(&plan.actions, out, 1));
    plan.check(::posix_spawn_file_actions_adddup2(&plan.actions, err, 2));
    // Asio's sockets are not close-on-exec; a command that held them would keep connections open
    // that we closed.
    plan.check(::posix_spawn_file_actions_addclosefrom_np(&plan.actions, 3));

    sigset_t defaults, none;
    ::sigfillset(&defaults);
    ::sigemptyset(&none);
    plan.check(::posix_spawnattr_setsigdefault(&plan.attributes, &defaults));
    plan.check(::posix_spawnattr_setsigmask(&plan.attributes, &none));
    plan.check(::posix_spawnattr_setpgroup(&plan.attributes, 0));
    plan.check(::posix_spawnattr_setflags(
        &plan.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));

    std::vector<std::string> words{"sh"};
    if (!what.line.empty()) words.insert(words.end(), {"-c", what.line});
    std::vector<char*> arguments, environment;
    for (auto& word : words) arguments.push_back(word.data());
    for (auto& entry : what.environment) environment.push_back(const_cast<char*>(entry.c_str()));
    arguments.push_back(nullptr);
    environment.push_back(nullptr);

    pid_t pid = -1;
    plan.check(::posix_spawn(&pid, "/bin/sh", &plan.actions, &plan.attributes, arguments.data(),
                             environment.data()));
    return pid;
}

} // namespace

command::command(asio::any_io_executor const& executor, options what)
    : what_(std::move(what)), input_(executor), output_(executor), errors_(executor),
      process_(executor) {
    auto in = make_socket_pair();
    auto out = make_pipe();
    auto err = make_pipe();
    input_.assign(asio::local::stream_protocol(), in.ours.get());
    in.ours.release();
    output_.assign(out.ours.get());
    out.ours.release();
    errors_.assign(err.ours.get());
    err.ours.release();
    in_ = std::move(in.theirs);
    out_ = std::move(out.theirs);
    err_ = std::move(err.theirs);
}

command::~command() {
    if (pid_ < 0) return;
    // The shell has not been waited for yet, so that the number of its group is still ours.
    signal(SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

void command::spawn() { pid_ = spawn_shell(what_, in_.get(), out_.get(), err_.get()); }

void command::watch() {
    in_.close();
    out_.close();
    err_.close();
    // glibc 2.36 declares pidfd_open without extern "C".
    descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (process.get() < 0) throw_code(errno, "pidfd_open");
    process_.assign(process.get());
    process.release();
}

void command::start() {
    spawn();
    watch();
}

awaitable<> command::start(offload_pool& pool) {
    auto work = [this] { spawn(); };
    co_await pool.run(std::move(work));
    watch();
}

// Asio may take an event of a descriptor that is closed for one of its successor, and a wait for
// no more than that is over then: the kernel is asked, too.
awaitable<> command::ended() {
    while (end().si_pid == 0) {
        auto waiting =
            process_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
        co_await within(std::chrono::seconds(1), std::move(waiting));
    }
}

/// How it ended; si_pid is 0 while it runs. It stays to be waited for.
siginfo_t command::end() const {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        throw_code(errno, "waitid");
    return info;
}

command::result command::outcome() const {
    auto const info = end();
    if (info.si_code == CLD_EXITED) return {.exit_status = info.si_status};
    return {.signal = info.si_status, .core = info.si_code == CLD_DUMPED};
}

void command::signal(int number) noexcept {
    if (pid_ > 0) ::kill(-pid_, number);
}

} // namespace trawl::lab
