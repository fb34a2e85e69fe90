#include <trawl/ssh_config.hpp>

#include "ssh/config_words.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace trawl::ssh {

using detail::lower;
using detail::matches_list;
using detail::matches_patterns;
using detail::parse_bytes;
using detail::parse_number;
using detail::parse_time;

namespace {

constexpr std::size_t deepest_include = 16; // as OpenSSH
constexpr std::size_t most_statements = 100'000;

using words = std::vector<std::string>;

bool is_yes(std::string const& word) { return word == "yes" || word == "true"; }
bool is_no(std::string const& word) { return word == "no" || word == "false"; }

bool take_text(std::optional<std::string>& into, std::string const& word) {
    if (word.empty()) return false;
    if (!into) into = word;
    return true;
}

template <class T, class U>
bool take_parsed(std::optional<T>& into, std::optional<U> const& parsed) {
    if (!parsed) return false;
    if (!into) into = static_cast<T>(*parsed);
    return true;
}

bool take_flag(std::optional<bool>& into, std::string const& word) {
    if (!is_yes(word) && !is_no(word)) return false;
    if (!into) into = is_yes(word);
    return true;
}

bool take_checking(std::optional<std::string>& into, std::string const& word) {
    if (word == "off" || is_no(word)) return take_text(into, "no");
    if (is_yes(word)) return take_text(into, "yes");
    return (word == "ask" || word == "accept-new") && take_text(into, word);
}

/// "1G 30m", "default none".
bool take_rekey_limit(host_config& c, words const& w) {
    auto const bytes = w[0] == "default" ? std::optional<std::uint64_t>(0) : parse_bytes(w[0]);
    std::optional<std::chrono::seconds> time(0);
    if (w.size() > 1 && w[1] != "none") time = parse_time(w[1]);
    if (!bytes || !time) return false;
    if (!c.rekey_bytes) c.rekey_bytes = bytes, c.rekey_time = time;
    return true;
}

/// A keyword and what it does with its words; false when they make no sense.
struct keyword {
    std::string_view name;
    bool (*apply)(host_config&, words const&);
};

constexpr std::array keywords{
    keyword{"hostname", [](auto& c, auto& w) { return take_text(c.host_name, w[0]); }},
    keyword{"user", [](auto& c, auto& w) { return take_text(c.user, w[0]); }},
    keyword{"port",
            [](auto& c, auto& w) {
                auto const number = parse_number(w[0], 65535);
                return number != 0u && take_parsed(c.port, number);
            }},
    keyword{"identityfile",
            [](auto& c, auto& w) {
                auto& all = c.identity_files;
                if (std::find(all.begin(), all.end(), w[0]) == all.end()) all.push_back(w[0]);
                return !w[0].empty();
            }},
    keyword{"identitiesonly", [](auto& c, auto& w) { return take_flag(c.identities_only, w[0]); }},
    keyword{"proxyjump",
            [](auto& c, auto& w) { return parse_jump(w[0]) && take_text(c.proxy_jump, w[0]); }},
    keyword{"userknownhostsfile",
            [](auto& c, auto& w) {
                if (!c.known_hosts_files) c.known_hosts_files = w;
                return true;
            }},
    keyword{"stricthostkeychecking",
            [](auto& c, auto& w) { return take_checking(c.strict_host_key_checking, w[0]); }},
    keyword{"connecttimeout",
            [](auto& c, auto& w) { return take_parsed(c.connect_timeout, parse_time(w[0])); }},
    keyword{
        "serveraliveinterval",
        [](auto& c, auto& w) { return take_parsed(c.server_alive_interval, parse_time(w[0])); }},
    keyword{"serveralivecountmax",
            [](auto& c, auto& w) {
                return take_parsed(c.server_alive_count_max, parse_number(w[0], 1'000'000));
            }},
    keyword{"ciphers", [](auto& c, auto& w) { return take_text(c.ciphers, w[0]); }},
    keyword{"kexalgorithms", [](auto& c, auto& w) { return take_text(c.kex_algorithms, w[0]); }},
    keyword{"macs", [](auto& c, auto& w) { return take_text(c.macs, w[0]); }},
    keyword{"hostkeyalgorithms",
            [](auto& c, auto& w) { return take_text(c.host_key_algorithms, w[0]); }},
    keyword{"rekeylimit", take_rekey_limit},
};

keyword const* find_keyword(std::string_view name) {
    auto const found = std::ranges::find(keywords, name, &keyword::name);
    return found == keywords.end() ? nullptr : found;
}

constexpr std::array<std::string_view, 5> criteria{"all", "host", "originalhost", "user",
                                                   "localuser"};

/// What is wrong with the words of a Match; empty: nothing.
std::string check_match(words const& w) {
    if (w.empty()) return "Match without a criterion";
    for (std::size_t i = 0; i < w.size(); ++i) {
        auto const name = lower(w[i].starts_with('!') ? w[i].substr(1) : w[i]);
        if (std::ranges::find(criteria, name) == criteria.end())
            return "Match " + name + " is not supported; the block never applies";
        if (name != "all" && ++i == w.size()) return "Match " + name + " without a pattern";
    }
    return {};
}

} // namespace

/// One pass through the statements for one host.
class config::reading {
public:
    reading(local const& here, std::string_view host, std::optional<std::string> user)
        : here_(here), called_(host) {
        found_.user = std::move(user);
    }

    void obey(statement const& s) {
        switch (s.what) {
        case kind::host: active_ = !never_ && matches_patterns(s.words, called_); break;
        case kind::match: active_ = !never_ && meets(s.words); break;
        case kind::enter:
            outer_.emplace_back(active_, never_);
            never_ = never_ || !active_;
            break;
        case kind::leave:
            std::tie(active_, never_) = outer_.back();
            outer_.pop_back();
            break;
        case kind::set:
            if (active_) find_keyword(s.keyword)->apply(found_, s.words);
            break;
        }
    }

    host_config result() {
        if (found_.host_name) found_.host_name = address();
        for (auto& file : found_.identity_files) file = filled_in(file);
        if (found_.known_hosts_files)
            for (auto& file : *found_.known_hosts_files) file = filled_in(file);
        return std::move(found_);
    }

private:
    /// HostName so far, with %h for what the user said.
    std::string address() const {
        if (!found_.host_name) return called_;
        return with_tokens(*found_.host_name, [this](char c) -> std::optional<std::string> {
            if (c == 'h') return called_;
            return {};
        });
    }

    bool meets(words const& w) const {
        if (!check_match(w).empty()) return false;
        for (std::size_t i = 0; i < w.size(); ++i) {
            bool const negated = w[i].starts_with('!');
            auto const name = lower(negated ? w[i].substr(1) : w[i]);
            bool met = true;
            if (name == "host")
                met = matches_list(lower(w[++i]), lower(address()));
            else if (name == "originalhost")
                met = matches_list(w[++i], called_);
            else if (name == "user")
                met = matches_list(w[++i], found_.user.value_or(here_.user));
            else if (name == "localuser")
                met = matches_list(w[++i], here_.user);
            if (met == negated) return false;
        }
        return true;
    }

    template <class Token>
    static std::string with_tokens(std::string_view text, Token token) {
        std::string out;
        for (std::size_t i = 0; i < text.size(); ++i) {
            auto const next = i + 1 < text.size() ? text[i + 1] : '\0';
            auto const value = text[i] == '%' ? token(next) : std::optional<std::string>();
            if (value)
                out += *value, ++i;
            else if (text[i] == '%' && next == '%')
                out += '%', ++i;
            else
                out += text[i];
        }
        return out;
    }

    std::string filled_in(std::string const& file) const {
        auto const whole =
            file == "~" || file.starts_with("~/") ? here_.home + file.substr(1) : file;
        return with_tokens(whole, [this](char c) -> std::optional<std::string> {
            switch (c) {
            case 'd': return here_.home;
            case 'u': return here_.user;
            case 'n': return called_;
            case 'h': return address();
            case 'r': return found_.user.value_or(here_.user);
            case 'p': return std::to_string(found_.port.value_or(22));
            default: return {};
            }
        });
    }

    local const& here_;
    std::string called_;
    host_config found_;
    bool active_ = true, never_ = false; // never: the file was included where nothing applies
    std::vector<std::pair<bool, bool>> outer_;
};

config::config(local here) : here_(std::move(here)) {}

void config::parse(file const& one, includes const& find) {
    // Its Host blocks end with it, like those of an included file.
    statements_.push_back({kind::enter});
    read_file(one, find, 0);
    statements_.push_back({kind::leave});
}

void config::read_file(file const& one, includes const& find, std::size_t depth) {
    std::string_view rest = one.text;
    for (std::size_t number = 1; !rest.empty(); ++number) {
        auto const end = std::min(rest.find('\n'), rest.size());
        read_line(rest.substr(0, end), one.name + ":" + std::to_string(number), find, depth);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
}

void config::read_line(std::string_view line, std::string const& where, includes const& find,
                       std::size_t depth) {
    auto all = detail::split_line(line);
    if (!all) return complain(where, "a quote is not closed");
    if (all->empty()) return;
    if (statements_.size() >= most_statements)
        return complain(where, "too many lines, the rest is left out");
    auto name = std::move(all->front());
    all->erase(all->begin());
    if (name == "include") return include(*all, where, find, depth);
    if (name == "host") return statements_.push_back({kind::host, {}, std::move(*all)});
    if (name == "match") {
        if (auto wrong = check_match(*all); !wrong.empty()) complain(where, std::move(wrong));
        return statements_.push_back({kind::match, {}, std::move(*all)});
    }
    auto const* known = find_keyword(name);
    if (!known) return complain(where, name + " is not supported");
    host_config trial;
    if (all->empty() || !known->apply(trial, *all))
        return complain(where, "a value that " + name + " cannot have");
    statements_.push_back({kind::set, std::move(name), std::move(*all)});
}

void config::include(words const& patterns, std::string const& where, includes const& find,
                     std::size_t depth) {
    if (depth == deepest_include) return complain(where, "includes are nested too deeply");
    for (auto pattern : patterns) {
        if (pattern.starts_with("~/")) pattern = here_.home + pattern.substr(1);
        for (auto const& one : find(pattern)) {
            statements_.push_back({kind::enter});
            read_file(one, find, depth + 1);
            statements_.push_back({kind::leave});
        }
    }
}

void config::complain(std::string const& where, std::string text) {
    if (told_.insert(text).second) problems_.push_back({where, std::move(text)});
}

host_config config::lookup(std::string_view host, std::optional<std::string> user) const {
    reading pass(here_, host, std::move(user));
    for (auto const& s : statements_) pass.obey(s);
    return pass.result();
}

} // namespace trawl::ssh
