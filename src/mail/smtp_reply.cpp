#include "mail/smtp_reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace trawl::smtp::detail {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Bytes of the enhanced code that begins `text`, 0 when there is none of this class (RFC 2034 §4).
std::size_t enhanced_length(std::string_view text, int family) {
    if (text.size() < 5 || text[0] != static_cast<char>('0' + family) ||
        (family != 2 && family != 4 && family != 5))
        return 0;
    std::size_t at = 1;
    for (int part = 0; part < 2; ++part) {
        if (at >= text.size() || text[at] != '.') return 0;
        auto const begin = ++at;
        while (at < text.size() && is_digit(text[at])) ++at;
        if (at == begin || at - begin > 3) return 0;
    }
    return at == text.size() || text[at] == ' ' ? at : 0;
}

void add_text(reply& r, std::string_view line) {
    if (auto const length = enhanced_length(line, r.family())) {
        if (r.enhanced.empty()) r.enhanced = line.substr(0, length);
        line.remove_prefix(std::min(length + 1, line.size()));
    }
    if (!r.text.empty() && !line.empty()) r.text += ' ';
    r.text += line;
}

} // namespace

std::string reply::words() const {
    std::string out = std::to_string(code);
    for (auto const* part : {&enhanced, &text})
        if (!part->empty()) out += ' ', out += *part;
    constexpr std::size_t enough = 400;
    if (out.size() > enough) out.resize(enough), out += "...";
    return out;
}

bool reply_parser::broken(std::string why) {
    fault_ = std::move(why);
    return false;
}

void reply_parser::feed(std::string_view bytes) {
    if (!fault_.empty()) return;
    // What has been read goes when it costs little or has become much.
    if (at_ == buffer_.size() || at_ > 2 * max_line) buffer_.erase(0, at_), at_ = scanned_ = 0;
    buffer_ += bytes;
}

/// Most replies are a few words, and the next one goes where this one was.
void reply_parser::begin_reply() {
    constexpr std::size_t kept = 512;
    if (reply_.lines.capacity() > kept) reply_ = {};
    reply_.code = 0;
    for (auto* part : {&reply_.enhanced, &reply_.text, &reply_.lines}) part->clear();
}

reply const* reply_parser::next() {
    while (fault_.empty()) {
        auto const end = buffer_.find('\n', std::max(at_, scanned_));
        auto const so_far = std::min(end, buffer_.size()) - at_;
        if (so_far > max_line)
            broken(fmt::format("a line longer than {} bytes", max_line));
        else if (std::memchr(buffer_.data() + at_, '\0', so_far))
            broken("a NUL");
        if (!fault_.empty() || end == std::string::npos) {
            scanned_ = buffer_.size();
            return nullptr;
        }
        std::string_view line(buffer_.data() + at_, so_far);
        if (line.ends_with('\r')) line.remove_suffix(1);
        at_ = end + 1;
        if (count_ == 0) begin_reply();
        if (!take_line(line)) continue;
        total_ = count_ = 0;
        return &reply_;
    }
    return nullptr;
}

/// True when `line` is the last of its reply.
bool reply_parser::take_line(std::string_view line) {
    bool const has_code = line.size() >= 3 && line[0] >= '2' && line[0] <= '5' &&
                          is_digit(line[1]) && is_digit(line[2]);
    if (!has_code || (line.size() > 3 && line[3] != ' ' && line[3] != '-'))
        return broken(fmt::format("no reply code in \"{}\"", line.substr(0, 80)));
    int const code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (count_ > 0 && code != reply_.code)
        return broken(fmt::format("code {} in a reply that began with {}", code, reply_.code));
    reply_.code = code;
    total_ += line.size() + 2;
    auto const text = line.substr(std::min<std::size_t>(4, line.size()));
    if (count_++ > 0) reply_.lines += '\n';
    reply_.lines += text;
    add_text(reply_, text);
    if (total_ > max_total) return broken(fmt::format("a reply longer than {} bytes", max_total));
    if (count_ > max_lines) return broken(fmt::format("a reply of more than {} lines", max_lines));
    return line.size() == 3 || line[3] == ' ';
}

} // namespace trawl::smtp::detail
