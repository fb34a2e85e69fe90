#include "cli/prompt.hpp"

#include "cli/environment.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <termios.h>
#include <unistd.h>
#include <utility>

namespace trawl::cli {
namespace {

constexpr char ctrl_c = 3, ctrl_d = 4;

/// The terminal without echo and without signals, so that no Ctrl-C leaves it so.
class quiet_terminal {
public:
    quiet_terminal() : file_(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)) {
        if (file_ < 0 || ::tcgetattr(file_, &before_) != 0) return;
        auto quiet = before_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG | ICANON);
        quiet.c_cc[VMIN] = 1, quiet.c_cc[VTIME] = 0;
        changed_ = ::tcsetattr(file_, TCSAFLUSH, &quiet) == 0;
    }
    quiet_terminal(quiet_terminal const&) = delete;
    quiet_terminal& operator=(quiet_terminal const&) = delete;
    ~quiet_terminal() {
        if (changed_) ::tcsetattr(file_, TCSAFLUSH, &before_);
        if (file_ >= 0) ::close(file_);
    }

    bool there() const noexcept { return changed_; }
    void say(std::string_view text) const {
        while (!text.empty()) {
            auto const wrote = ::write(file_, text.data(), text.size());
            if (wrote < 0 && errno != EINTR) return; // the answer can be read all the same
            text.remove_prefix(static_cast<std::size_t>(wrote < 0 ? 0 : wrote));
        }
    }
    char key() const {
        char c = ctrl_d;
        while (::read(file_, &c, 1) < 0 && errno == EINTR) {
        }
        return c;
    }

private:
    int file_;
    termios before_{};
    bool changed_ = false;
};

} // namespace

std::optional<net::secret> ask_secret(std::string_view question) {
    quiet_terminal const terminal;
    if (!terminal.there()) return {};
    terminal.say(question);
    std::string typed;
    typed.reserve(net::max_secret); // no copy stays behind in freed memory
    for (char c = 0; (c = terminal.key()) != '\n' && c != '\r';) {
        if (c == ctrl_c || (c == ctrl_d && typed.empty())) {
            terminal.say("\n");
            net::secret const wiped(std::move(typed));
            throw usage_error("no password was given");
        }
        if (c == '\b' || c == 0x7f) {
            if (!typed.empty()) typed.pop_back();
        } else if (typed.size() < net::max_secret) {
            typed += c;
        }
    }
    terminal.say("\n");
    return net::secret(std::move(typed));
}

} // namespace trawl::cli
