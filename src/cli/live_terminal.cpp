#include "cli/live_terminal.hpp"

#include "cli/durable.hpp"

#include <trawl/error.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/write.hpp>
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace trawl::cli {
namespace {

// Second screen, no cursor, no wrapping at the right margin; and back.
constexpr std::string_view enter_screen = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr std::string_view leave_screen = "\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr std::string_view clear = "\x1b[2J", home = "\x1b[H", clear_line_end = "\x1b[K",
                           clear_below = "\x1b[J";

std::string_view variable(char const* name) {
    auto const* value = std::getenv(name);
    return value ? value : "";
}

bool is_dumb() { return variable("TERM").empty() || variable("TERM") == "dumb"; }

bool takes_more(int terminal) {
    pollfd asked{.fd = terminal, .events = POLLOUT, .revents = 0};
    return ::poll(&asked, 1, 0) == 1;
}

bool speaks_utf8() {
    for (auto const* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        auto const value = variable(name);
        if (value.empty()) continue;
        return value.find("UTF-8") != value.npos || value.find("utf8") != value.npos;
    }
    return false;
}

} // namespace

/// The terminal, opened once more: O_NONBLOCK on the descriptor that we were given would be on the
/// shell's too.
struct live_terminal::canvas {
    asio::posix::stream_descriptor to;
    std::string frame = {}; // the one that is being written
    bool busy = false;
    std::error_code failure = {};

    /// Null where it may not be opened (after su, for instance).
    static std::shared_ptr<canvas> open(asio::io_context& io, int terminal) {
        int const opened = ::open(fmt::format("/proc/self/fd/{}", terminal).c_str(),
                                  O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (opened < 0) return nullptr;
        return std::shared_ptr<canvas>(new canvas{asio::posix::stream_descriptor(io, opened)});
    }

    static void write(std::shared_ptr<canvas> const& on, std::string frame) {
        on->frame = std::move(frame);
        on->busy = true;
        auto written = [on](std::error_code failure, std::size_t) {
            on->busy = false;
            on->failure = failure;
        };
        asio::async_write(on->to, asio::buffer(on->frame), written);
    }
};

std::optional<int> live_terminal::find() {
    for (int const descriptor : {STDOUT_FILENO, STDERR_FILENO})
        if (::isatty(descriptor) == 1) return descriptor;
    return std::nullopt;
}

live_terminal::live_terminal(environment& env, int descriptor)
    : env_(env), descriptor_(descriptor), moves_(!is_dumb()), signals_(env.io(), SIGTSTP, SIGQUIT) {
    env_.lend_terminal([this] { leave(); });
    if (moves_) heed_signals();
}

live_terminal::~live_terminal() { give_back(); }

live_look live_terminal::look() const {
    live_look look;
    look.colour = moves_ && variable("NO_COLOR").empty();
    look.unicode = speaks_utf8();
    winsize size{};
    if (::ioctl(descriptor_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0)
        look.columns = size.ws_col, look.rows = size.ws_row;
    return look;
}

void live_terminal::show(std::string_view picture) {
    if (!moves_) return;
    if (!entered_) canvas_ = canvas::open(env_.io(), descriptor_);
    if (canvas_ ? canvas_->busy : !takes_more(descriptor_)) return;
    if (canvas_ && canvas_->failure) throw error(canvas_->failure, "write to terminal");
    auto const now = look();
    std::string frame;
    if (!entered_) frame += enter_screen;
    if (!entered_ || now.columns != drawn_.columns || now.rows != drawn_.rows) frame += clear;
    frame += home;
    // A newline after the last row would scroll.
    if (picture.ends_with('\n')) picture.remove_suffix(1);
    for (char const c : picture) {
        if (c == '\n') frame.append(clear_line_end).append("\r");
        frame += c;
    }
    frame.append(clear_line_end).append(clear_below);
    frame += home; // where a key that is echoed is drawn over
    entered_ = true;
    drawn_ = now;
    if (canvas_)
        canvas::write(canvas_, std::move(frame));
    else
        write_all(descriptor_, frame, "terminal");
}

void live_terminal::close(std::string_view picture) {
    give_back();
    write_all(descriptor_, picture, "terminal");
}

/// The log's lines come below the picture, not over it.
void live_terminal::give_back() noexcept {
    std::error_code ignored;
    signals_.cancel(ignored);
    leave();
    env_.take_back_terminal();
}

/// Also from the handler of a second Ctrl-C.
void live_terminal::leave() noexcept {
    if (!std::exchange(entered_, false)) return;
    std::error_code ignored; // what is left of a frame must not come behind
    if (canvas_) canvas_->to.close(ignored);
    // A terminal that went away is not to be restored.
    [[maybe_unused]] auto const written =
        ::write(descriptor_, leave_screen.data(), leave_screen.size());
}

void live_terminal::heed_signals() {
    signals_.async_wait([this](std::error_code failure, int which) {
        if (failure) return;
        if (which == SIGTSTP) {
            leave();
            ::raise(SIGSTOP);
        }
        drawn_ = {.columns = 0, .rows = 0}; // SIGQUIT: drawn anew from scratch
        heed_signals();
    });
}

} // namespace trawl::cli
