#include "backup/ignore.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace trawl::backup::detail {

namespace {

bool is_special(char c) { return c == '*' || c == '?' || c == '[' || c == '\\'; }

std::string_view without_trailing_spaces(std::string_view line) {
    std::size_t end = 0; // behind the last byte that is no space or is escaped
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '\\' && i + 1 < line.size())
            end = ++i + 1;
        else if (line[i] != ' ')
            end = i + 1;
    }
    return line.substr(0, end);
}

/// Of the "C" locale: the command's must not decide what is backed up.
bool is_of_class(std::string_view name, unsigned char c, bool& known) {
    bool const lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
    bool const digit = c >= '0' && c <= '9', printed = c > 0x20 && c < 0x7f;
    bool const hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    bool const space = c == ' ' || (c >= '\t' && c <= '\r');
    std::array<std::pair<std::string_view, bool>, 12> const classes{{
        {"alnum", lower || upper || digit},
        {"alpha", lower || upper},
        {"blank", c == ' ' || c == '\t'},
        {"cntrl", c < 0x20 || c == 0x7f},
        {"digit", digit},
        {"graph", printed},
        {"lower", lower},
        {"print", printed || c == ' '},
        {"punct", printed && !lower && !upper && !digit},
        {"space", space},
        {"upper", upper},
        {"xdigit", hex},
    }};
    auto const at = std::find_if(classes.begin(), classes.end(),
                                 [&](auto const& one) { return one.first == name; });
    known = at != classes.end();
    return known && at->second;
}

} // namespace

std::optional<ignore_pattern> ignore_pattern::parse(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('#')) return std::nullopt;
    line = without_trailing_spaces(line);
    ignore_pattern made;
    if (line.starts_with('!')) {
        made.negative_ = true;
        line.remove_prefix(1);
    }
    if (line.ends_with('/')) {
        made.folders_only_ = true;
        line.remove_suffix(1);
    }
    if (line.empty()) return std::nullopt;
    made.anchored_ = line.find('/') != std::string_view::npos;
    if (made.anchored_ && line.front() == '/') line.remove_prefix(1);
    auto const wild = std::find_if(line.begin(), line.end(), is_special);
    made.prefix_.assign(line.begin(), wild);
    // As in git, "**" right behind the letters counts as if it stood at the beginning.
    made.compile(line.substr(made.prefix_.size()));
    return made;
}

void ignore_pattern::compile(std::string_view glob) {
    for (std::size_t at = 0; at < glob.size();) {
        char const c = glob[at];
        if (c == '*')
            at = compile_stars(glob, at);
        else if (c == '[')
            at = compile_set(glob, at);
        else if (c == '?')
            tokens_.push_back({token_kind::any}), ++at;
        else if (c == '\\' && at + 1 == glob.size())
            tokens_.push_back({token_kind::never}), ++at;
        else {
            if (c == '\\') ++at;
            tokens_.push_back({token_kind::letter, glob[at++]});
        }
    }
}

std::size_t ignore_pattern::compile_stars(std::string_view glob, std::size_t at) {
    auto const begin = at;
    while (at < glob.size() && glob[at] == '*') ++at;
    auto const rest = glob.substr(at);
    bool const whole = (begin == 0 || glob[begin - 1] == '/') &&
                       (rest.empty() || rest.starts_with('/') || rest.starts_with("\\/"));
    if (at - begin == 1 || !whole)
        tokens_.push_back({token_kind::star});
    else if (rest.starts_with('/'))
        tokens_.push_back({token_kind::folders}), ++at;
    else
        tokens_.push_back({token_kind::stars});
    return at;
}

// `at`: of the "["; gives the place behind the "]".
std::size_t ignore_pattern::compile_set(std::string_view glob, std::size_t at) {
    std::bitset<256> members;
    auto const never = [&] {
        tokens_.push_back({token_kind::never});
        return glob.size();
    };
    bool const negated = ++at < glob.size() && (glob[at] == '!' || glob[at] == '^');
    if (negated) ++at;
    int before = 0; // the byte that a "-" would begin a range with; 0: none
    for (bool first = true;; first = false) {
        if (at >= glob.size()) return never();
        char c = glob[at];
        if (c == ']' && !first) break;
        if (c == '-' && before != 0 && at + 1 < glob.size() && glob[at + 1] != ']') {
            if (glob[++at] == '\\' && ++at == glob.size()) return never();
            for (int i = before; i <= static_cast<unsigned char>(glob[at]); ++i)
                members.set(static_cast<std::size_t>(i));
            before = 0;
        } else if (c == '[' && at + 1 < glob.size() && glob[at + 1] == ':') {
            auto const end = glob.find(']', at + 2);
            if (end == std::string_view::npos) return never();
            if (end == at + 2 || glob[end - 1] != ':') { // a "[" like any other
                members.set('[');
                before = '[';
            } else {
                auto const name = glob.substr(at + 2, end - at - 3);
                bool known = false;
                for (unsigned i = 0; i < 256; ++i)
                    if (is_of_class(name, static_cast<unsigned char>(i), known)) members.set(i);
                if (!known) return never();
                at = end;
                before = 0;
            }
        } else {
            if (c == '\\') {
                if (++at == glob.size()) return never();
                c = glob[at];
            }
            members.set(static_cast<unsigned char>(c));
            before = static_cast<unsigned char>(c);
        }
        ++at;
    }
    tokens_.push_back({token_kind::set, 0, static_cast<std::uint32_t>(sets_.size())});
    sets_.push_back(negated ? ~members : members);
    return at + 1;
}

bool ignore_pattern::takes(token const& t, char c) const {
    switch (t.what) {
    case token_kind::letter: return c == t.letter;
    case token_kind::any:
    case token_kind::star: return c != '/';
    case token_kind::set: return c != '/' && sets_[t.set][static_cast<unsigned char>(c)];
    case token_kind::stars:
    case token_kind::folders: return true;
    case token_kind::never: break;
    }
    return false;
}

// All places in the pattern at once (Thompson): no path makes it try again.
bool ignore_pattern::matches_glob(std::string_view text) const {
    auto const n = tokens_.size();
    std::vector<char> now(n + 1), next(n + 1);
    auto const skip_empty = [&](std::vector<char>& places) {
        for (std::size_t i = 0; i < n; ++i)
            if (places[i] == 1 && tokens_[i].what >= token_kind::star &&
                tokens_[i].what != token_kind::never)
                places[i + 1] = 1;
    };
    now[0] = 1;
    skip_empty(now);
    for (char const c : text) {
        std::fill(next.begin(), next.end(), char(0));
        for (std::size_t i = 0; i < n; ++i) {
            auto const& t = tokens_[i];
            if (!now[i] || !takes(t, c)) continue;
            if (t.what < token_kind::star)
                next[i + 1] = 1;
            else if (t.what != token_kind::folders)
                next[i] = 1;
            else {
                // 2: within a folder's name, to be left behind a slash only.
                if (next[i] != 1) next[i] = 2;
                if (c == '/') next[i + 1] = 1;
            }
        }
        skip_empty(next);
        std::swap(now, next);
    }
    return now[n] != 0;
}

bool ignore_pattern::matches(std::string_view path, bool is_folder) const {
    if (folders_only_ && !is_folder) return false;
    if (!anchored_) path = path.substr(path.rfind('/') + 1);
    if (!path.starts_with(prefix_)) return false;
    path.remove_prefix(prefix_.size());
    return tokens_.empty() ? path.empty() : matches_glob(path);
}

ignore_list::ignore_list(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3); // the mark some editors leave
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        add(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

void ignore_list::add(std::string_view line) {
    if (auto pattern = ignore_pattern::parse(line)) patterns_.push_back(std::move(*pattern));
}

void ignore_list::append(ignore_list more) {
    std::move(more.patterns_.begin(), more.patterns_.end(), std::back_inserter(patterns_));
}

std::optional<bool> ignore_list::leaves_out(std::string_view path, bool is_folder) const {
    auto const at = std::find_if(patterns_.rbegin(), patterns_.rend(), [&](auto const& pattern) {
        return pattern.matches(path, is_folder);
    });
    if (at == patterns_.rend()) return std::nullopt;
    return !at->negative();
}

} // namespace trawl::backup::detail
