#include "cli/output.hpp"

#include "cli/durable.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <unistd.h>
#include <utility>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_held = 1000; // texts while something else has the terminal

} // namespace

std::string escaped(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    for (std::size_t i = 0; i < bytes.size();) {
        auto const c = static_cast<unsigned char>(bytes[i]);
        std::size_t const length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
        auto const one = bytes.substr(i, length);
        // C1 controls (U+0080..U+009F) drive terminals as C0 does.
        bool const c1 = length == 2 && c == 0xc2 && one.size() == 2 &&
                        static_cast<unsigned char>(one[1]) < 0xa0;
        bool const plain = length == 1 && (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f));
        if (plain || (length > 1 && !c1 && json::text(one).is_string())) {
            out += one;
            i += length;
        } else {
            out += fmt::format("\\x{:02x}", c);
            i += 1;
        }
    }
    return out;
}

output::output(console& progress)
    : progress_(progress), descriptor_(STDOUT_FILENO), terminal_(::isatty(STDOUT_FILENO) == 1) {}

void output::redirect(int descriptor, std::string name) {
    descriptor_ = descriptor;
    name_ = std::move(name);
    terminal_ = false;
}

void output::line(std::string_view text) {
    std::string whole(text);
    whole += '\n';
    write(whole);
}

void output::raw(std::string_view bytes) {
    if (terminal_)
        write(escaped(bytes));
    else
        write(bytes);
}

void output::record(json::record const& object) { line(object.line()); }

void output::flush() {
    if (gathered_.empty()) return;
    auto const bytes = std::exchange(gathered_, {});
    write_all(descriptor_, bytes, name_);
}

void output::write(std::string_view bytes) {
    if (gathering_ || !gathered_.empty()) { // what an exception left there comes first
        gathered_ += bytes;
        if (!gathering_) flush();
        return;
    }
    if (terminal_) progress_.clear_progress();
    write_all(descriptor_, bytes, name_);
}

console::console(int verbosity, bool quiet)
    : verbosity_(verbosity), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

void console::log(severity level, std::string_view where, std::string_view text) {
    static constexpr int least_verbosity[] = {3, 2, 1, 0, 0}; // trace, debug, info, warning, error
    if (quiet_ && level < severity::error) return;
    if (verbosity_ < least_verbosity[static_cast<int>(level)]) return;
    auto const line = fmt::format("trawl: {}{}{}\n", where, where.empty() ? "" : ": ", text);
    write(terminal_ ? escaped(line) : line);
}

void console::write(std::string_view text) {
    if (holding_) {
        if (++held_texts_ <= most_held) held_ += text;
        return;
    }
    clear_progress();
    std::fwrite(text.data(), 1, text.size(), stderr);
}

void console::let_go() {
    if (!std::exchange(holding_, false)) return;
    auto const texts = std::exchange(held_texts_, 0);
    if (!held_.empty()) write(std::exchange(held_, {}));
    if (texts > most_held) write(fmt::format("trawl: and {} more\n", texts - most_held));
}

void console::progress(std::string_view what, std::uint64_t done, std::uint64_t total) {
    if (!terminal_ || quiet_ || holding_) return;
    auto const now = std::chrono::steady_clock::now();
    if (now < next_draw_ && done != total) return;
    next_draw_ = now + 100ms; // ten draws a second are enough
    auto const text =
        total ? fmt::format("{}/{} {}", done, total, what) : fmt::format("{} {}", done, what);
    std::fputs(("\r\x1b[K" + text).c_str(), stderr);
    drawn_ = true;
}

void console::clear_progress() {
    if (std::exchange(drawn_, false)) std::fputs("\r\x1b[K", stderr);
}

} // namespace trawl::cli
