// Runs one command and says what it took, for bench/*.sh:
//
//     bench-measure SECONDS OUT COMMAND...
//
// prints "WALL_MS CPU_MS RSS_KB CODE": user and system time of the command and of those of its
// children that it waited for, its largest resident set, and its exit code (124: killed after
// SECONDS). Its standard output goes to the file OUT, the rest to /dev/null. Small itself, for
// Linux counts what the parent of an exec held as the child's.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace {

volatile pid_t child = 0;
volatile sig_atomic_t late = 0;

void too_late(int) {
    late = 1;
    ::kill(-child, SIGKILL);
}

[[noreturn]] void become(char** command, char const* out) {
    ::setpgid(0, 0);
    int const file = ::open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int const nothing = ::open("/dev/null", O_RDWR);
    if (file < 0 || nothing < 0) ::_exit(126);
    ::dup2(nothing, 0), ::dup2(file, 1), ::dup2(nothing, 2);
    ::execvp(command[0], command);
    ::_exit(127);
}

double milliseconds(timeval const& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
}

} // namespace

int main(int count, char** word) {
    if (count < 4) return std::fputs("bench-measure SECONDS OUT COMMAND...\n", stderr), 2;
    struct sigaction on_alarm {};
    on_alarm.sa_handler = too_late; // without SA_RESTART, but wait4 is called again
    ::sigaction(SIGALRM, &on_alarm, nullptr);
    auto const began = std::chrono::steady_clock::now();
    child = ::fork();
    if (child == 0) become(word + 3, word[2]);
    if (child < 0) return std::perror("fork"), 1;
    ::setpgid(child, child); // whoever of the two comes first
    ::alarm(static_cast<unsigned>(std::atoi(word[1])));
    int status = 0;
    rusage used{};
    while (::wait4(child, &status, 0, &used) != child) {
    }
    std::chrono::duration<double, std::milli> const wall = std::chrono::steady_clock::now() - began;
    ::alarm(0);
    ::kill(-child, SIGKILL); // what it may have left behind
    int const code = late ? 124 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    std::printf("%.3f %.3f %ld %d\n", wall.count(),
                milliseconds(used.ru_utime) + milliseconds(used.ru_stime), used.ru_maxrss, code);
}
