#include "mail/smtp_reply.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

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

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        auto const end = std::min(text.find(' '), text.size());
        if (end > 0) words.push_back(upper(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
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

std::optional<reply> reply_parser::next() {
    while (fault_.empty()) {
        auto const end = buffer_.find('\n', std::max(at_, scanned_));
        auto const so_far = std::min(end, buffer_.size()) - at_;
        if (so_far > max_line)
            broken(fmt::format("a line longer than {} bytes", max_line));
        else if (std::memchr(buffer_.data() + at_, '\0', so_far))
            broken("a NUL");
        if (!fault_.empty() || end == std::string::npos) {
            scanned_ = buffer_.size();
            return std::nullopt;
        }
        std::string_view line(buffer_.data() + at_, so_far);
        if (line.ends_with('\r')) line.remove_suffix(1);
        at_ = end + 1;
        if (!take_line(line)) continue;

        reply r;
        r.code = std::exchange(code_, 0);
        r.lines = std::exchange(lines_, {});
        total_ = 0;
        for (std::size_t i = 0; i < r.lines.size(); ++i) {
            std::string_view text = r.lines[i];
            if (auto const length = enhanced_length(text, r.family())) {
                if (r.enhanced.empty()) r.enhanced = text.substr(0, length);
                text.remove_prefix(std::min(length + 1, text.size()));
            }
            if (!r.text.empty() && !text.empty()) r.text += ' ';
            r.text += text;
        }
        return r;
    }
    return std::nullopt;
}

/// True when `line` is the last of its reply.
bool reply_parser::take_line(std::string_view line) {
    bool const has_code = line.size() >= 3 && line[0] >= '2' && line[0] <= '5' &&
                          is_digit(line[1]) && is_digit(line[2]);
    if (!has_code || (line.size() > 3 && line[3] != ' ' && line[3] != '-'))
        return broken(fmt::format("no reply code in \"{}\"", line.substr(0, 80)));
    int const code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    if (!lines_.empty() && code != code_)
        return broken(fmt::format("code {} in a reply that began with {}", code, code_));
    code_ = code;
    total_ += line.size() + 2;
    lines_.emplace_back(line.size() > 4 ? line.substr(4) : std::string_view());
    if (total_ > max_total) return broken(fmt::format("a reply longer than {} bytes", max_total));
    if (lines_.size() > max_lines)
        return broken(fmt::format("a reply of more than {} lines", max_lines));
    return line.size() == 3 || line[3] == ' ';
}

capabilities capabilities::of(reply const& ehlo) {
    capabilities can;
    for (std::size_t i = 1; i < ehlo.lines.size(); ++i) {
        auto const words = words_of(ehlo.lines[i]);
        if (words.empty()) continue;
        auto const& name = words[0];
        if (name == "PIPELINING")
            can.pipelining = true;
        else if (name == "8BITMIME")
            can.eight_bit = true;
        else if (name == "STARTTLS")
            can.starttls = true;
        else if (name == "SIZE" && words.size() > 1 && words[1].size() < 19 &&
                 std::all_of(words[1].begin(), words[1].end(), is_digit))
            can.size = std::stoull(words[1]);
        // "AUTH=LOGIN" is how servers spoke to clients of before RFC 2554; some still say both.
        else if (name == "AUTH" || name.starts_with("AUTH=")) {
            for (std::size_t w = 0; w < words.size(); ++w) {
                auto const mechanism =
                    w > 0 ? words[w] : name.substr(std::min<std::size_t>(5, name.size()));
                can.auth_plain |= mechanism == "PLAIN";
                can.auth_login |= mechanism == "LOGIN";
                if (!mechanism.empty()) can.auth += (can.auth.empty() ? "" : " ") + mechanism;
            }
        }
    }
    return can;
}

} // namespace trawl::smtp::detail
