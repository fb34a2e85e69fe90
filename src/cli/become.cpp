#include "cli/become.hpp"

#include <algorithm>
#include <utility>

namespace trawl::cli {

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (char const c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string become::wrap(std::string_view command) const {
    auto const inner = "printf %s " + shell_quoted(mark_) + " >&2\n" + std::string(command);
    return "sudo -S -p " + shell_quoted(prompt_) + " -- /bin/sh -c " + shell_quoted(inner);
}

become::event become::take(std::string_view bytes, std::string& shown) {
    pending_ += bytes;
    if (!started_) {
        auto const prompt = pending_.find(prompt_), mark = pending_.find(mark_);
        auto const at = std::min(prompt, mark);
        if (at != pending_.npos) {
            started_ = at == mark;
            shown.append(pending_, 0, at);
            pending_.erase(0, at + (started_ ? mark_ : prompt_).size());
            return started_ ? event::started : event::prompt;
        }
    }
    auto const decided = pending_.size() - undecided();
    shown.append(pending_, 0, decided);
    pending_.erase(0, decided);
    return event::nothing;
}

/// Bytes at the end of what has come that may be the beginning of a prompt or mark.
std::size_t become::undecided() const {
    if (started_) return 0;
    auto const begins = [this](std::string_view end) {
        return std::string_view(prompt_).starts_with(end) ||
               std::string_view(mark_).starts_with(end);
    };
    std::string_view end = pending_;
    end.remove_prefix(end.size() - std::min(end.size(), std::max(prompt_.size(), mark_.size())));
    while (!end.empty() && !begins(end)) end.remove_prefix(1);
    return end.size();
}

std::string become::finish() { return std::exchange(pending_, {}); }

} // namespace trawl::cli
