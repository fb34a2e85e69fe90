#include "cli/fping_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>
#include <string_view>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;
using millis = std::chrono::duration<double, std::milli>;

constexpr unsigned most_bytes = 65536 - 40 - 8; // fping: MAX_PING_DATA
constexpr double least_backoff = 1, most_backoff = 5;
constexpr duration default_timeout = 500ms, most_tuned_timeout = 2s;

struct stop {
    fping_exit how;
};

[[noreturn]] void refuse(std::string const& program, std::string_view what) {
    throw stop{{1, "", fmt::format("{}: {}\n", program, what)}};
}

[[noreturn]] void refuse_usage(std::string const& program, std::string_view what) {
    refuse(program, fmt::format("{}\nsee 'fping -h' for usage information", what));
}

/// The options as they come; what they mean together is known at the end.
struct reading {
    fping_options o;
    std::optional<duration> timeout;
    bool counted = false, looped = false;
};

/// The value of one option. Numbers are read as scanf and atoi read them: what follows one is
/// passed over.
struct value {
    reading const& in;
    char letter;
    std::string const& text;

    [[noreturn]] void refuse_as(std::string_view wanted) const {
        refuse_usage(in.o.program, fmt::format("-{} wants {}, not '{}'", letter, wanted, text));
    }
    double number() const {
        char* end = nullptr;
        double const n = std::strtod(text.c_str(), &end);
        if (end == text.c_str() || !std::isfinite(n)) refuse_as("a number");
        return n;
    }
    /// `unit` times the number; up to 30 years.
    duration length(duration unit) const {
        double const n = number();
        if (n < 0) refuse_as("0 or more");
        auto const most = std::chrono::duration<double, duration::period>(24h * 365 * 30);
        auto const asked = n * std::chrono::duration<double, duration::period>(unit);
        return std::chrono::duration_cast<duration>(std::min(asked, most));
    }
    /// Wraps around below 0, as scanf's %u does.
    unsigned natural(int base = 10) const {
        char* end = nullptr;
        auto const n = std::strtol(text.c_str(), &end, base);
        if (end == text.c_str()) refuse_as("a whole number");
        return static_cast<unsigned>(n);
    }
    unsigned positive() const {
        auto const n = std::strtol(text.c_str(), nullptr, 10);
        if (n <= 0 || n > 0x7fffffff) refuse_as("a whole number above 0");
        return static_cast<unsigned>(n);
    }
};

struct option {
    char letter;
    std::string_view name;     ///< empty: there is no long one
    std::string_view argument; ///< its name; empty: takes none
    std::string_view help;
    void (*apply)(reading&, value const&);
};

void restrict_to(reading& r, fping_options::family only) {
    if (r.o.only != fping_options::family::any && r.o.only != only)
        refuse(r.o.program, "can't specify both -4 and -6");
    r.o.only = only;
}

void show_names(reading& r, bool fping_options::*which) {
    r.o.*which = true;
    if (r.o.names_of_all && r.o.names_of_addresses)
        refuse(r.o.program, "use either one of -d or -n");
}

void bind_to(reading& r, std::string const& address) {
    asio::error_code failure;
    auto const source = asio::ip::make_address(address, failure);
    if (failure) refuse(r.o.program, "can't parse source address: " + address);
    r.o.source = source;
}

using R = reading;
using V = value;

constexpr option probing[] = {
    {'4', "ipv4", "", "only IPv4 addresses",
     [](R& r, V const&) { restrict_to(r, fping_options::family::v4); }},
    {'6', "ipv6", "", "only IPv6 addresses",
     [](R& r, V const&) { restrict_to(r, fping_options::family::v6); }},
    {'b', "size", "BYTES", "data in each echo (56)",
     [](R& r, V const& v) { r.o.bytes = v.natural(); }},
    {'B', "backoff", "N", "each retry waits N times as long as the one before (1.5)",
     [](R& r, V const& v) {
         r.o.backoff = v.number();
         if (r.o.backoff == 0) v.refuse_as("a number above 0");
     }},
    {'c', "count", "N", "send N echoes to each target",
     [](R& r, V const& v) { r.o.count = v.positive(), r.counted = true; }},
    {'f', "file", "FILE", "read the targets from FILE (-: standard input)",
     [](R& r, V const& v) { r.o.file = v.text; }},
    {'g', "generate", "", "the targets are a network (10.0.0.0/24), or first and last address",
     [](R& r, V const&) { r.o.generate = true; }},
    {'H', "ttl", "N", "hop limit of the echoes",
     [](R& r, V const& v) {
         auto const n = v.natural();
         if (n == 0) v.refuse_as("a number above 0");
         if (n > 255) refuse(r.o.program, fmt::format("ttl {} out of range", n));
         r.o.hop_limit = static_cast<std::uint8_t>(n);
     }},
    {'I', "iface", "IFACE", "by this interface only",
     [](R& r, V const& v) { r.o.interface = v.text; }},
    {'k', "fwmark", "N", "mark the packets for policy routing",
     [](R& r, V const& v) {
         r.o.mark = v.natural(0);
         if (r.o.mark == 0) v.refuse_as("a number above 0");
     }},
    {'l', "loop", "", "send echoes for ever", [](R& r, V const&) { r.looped = true; }},
    {'m', "all", "", "every address of a name, not the first only (use with -A)",
     [](R& r, V const&) { r.o.all_addresses = true; }},
    {'M', "dontfrag", "", "set the Don't Fragment flag",
     [](R& r, V const&) { r.o.dont_fragment = true; }},
    {'O', "tos", "N", "type of service, or traffic class",
     [](R& r, V const& v) { r.o.traffic_class = static_cast<std::uint8_t>(v.natural(0)); }},
    {'p', "period", "MSEC", "between two echoes to one target (1000), with -c, -C and -l",
     [](R& r, V const& v) { r.o.period = v.length(1ms); }},
    {'r', "retry", "N", "further echoes to a silent target (3)",
     [](R& r, V const& v) { r.o.retries = v.natural() + 1 == 0 ? 0 : v.natural(); }},
    {'R', "random", "", "random data in the echoes",
     [](R& r, V const&) { r.o.random_bytes = true; }},
    {'S', "src", "IP", "source address", [](R& r, V const& v) { bind_to(r, v.text); }},
    {'t', "timeout", "MSEC", "to wait for the first reply (500; with -c, -C, -l: -p, up to 2000)",
     [](R& r, V const& v) { r.timeout = v.length(1ms); }},
    {'T', "", "N", "ignored", [](R&, V const&) {}},
};

constexpr option showing[] = {
    {'a', "alive", "", "name the targets that are alive", [](R& r, V const&) { r.o.alive = true; }},
    {'A', "addr", "", "show targets by address", [](R& r, V const&) { r.o.addresses = true; }},
    {'C', "vcount", "N", "as -c, and list every time at the end",
     [](R& r, V const& v) { r.o.count = v.positive(), r.counted = r.o.vector = true; }},
    {'d', "rdns", "", "show targets by the name that their address has",
     [](R& r, V const&) { show_names(r, &fping_options::names_of_all); }},
    {'D', "timestamp", "", "begin each echo's line with the time",
     [](R& r, V const&) { r.o.timestamps = true; }},
    {'e', "elapsed", "", "show the time that the reply took",
     [](R& r, V const&) { r.o.elapsed = true; }},
    {'i', "interval", "MSEC", "between two echoes to any targets (10)",
     [](R& r, V const& v) { r.o.interval = v.length(1ms); }},
    {'n', "name", "", "as -d, but only targets given as an address",
     [](R& r, V const&) { show_names(r, &fping_options::names_of_addresses); }},
    {'N', "netdata", "", "charts for Netdata (with -l and -Q)",
     [](R& r, V const&) { r.o.netdata = true; }},
    {'o', "outage", "", "show the outage: lost echoes times -p",
     [](R& r, V const&) { r.o.outage = true; }},
    {'q', "quiet", "", "nothing for each target or echo", [](R& r, V const&) { r.o.quiet = true; }},
    {'Q', "squiet", "SECS", "as -q, and a summary every SECS seconds",
     [](R& r, V const& v) { r.o.quiet = true, r.o.report = v.length(1s); }},
    {'s', "stats", "", "totals at the end", [](R& r, V const&) { r.o.totals = true; }},
    {'u', "unreach", "", "name the targets that are unreachable",
     [](R& r, V const&) { r.o.unreachable = true; }},
    {'x', "reachable", "N", "tell whether N targets or more are reachable",
     [](R& r, V const& v) { r.o.required = v.positive(); }},
    {'X', "fast-reachable", "N", "as -x, and end as soon as it is so",
     [](R& r, V const& v) { r.o.required = v.positive(), r.o.at_once = true; }},
};

constexpr option answering[] = {
    {'h', "help", "", "this text", nullptr},
    {'v', "version", "", "the version that this is compatible with", nullptr},
};

std::string help(std::string const& program) {
    auto text = fmt::format("Usage: {} [options] [targets...]\n", program);
    auto const list = [&text](std::string_view title, std::span<option const> options) {
        text += fmt::format("\n{} options:\n", title);
        for (auto const& o : options) {
            auto name = o.name.empty() ? std::string() : fmt::format(", --{}", o.name);
            if (!o.argument.empty()) name += (o.name.empty() ? " " : "=") + std::string(o.argument);
            text += fmt::format("   {:<26} {}\n", fmt::format("-{}{}", o.letter, name), o.help);
        }
    };
    list("Probing", probing);
    list("Output", showing);
    list("Other", answering);
    return text;
}

template <class Same>
option const* find(Same same) {
    for (std::span<option const> options :
         {std::span<option const>(probing), {showing}, {answering}})
        for (auto const& o : options)
            if (same(o)) return &o;
    return nullptr;
}

/// Walks argv as optparse (and GNU getopt) does: letters may stand together, a value may follow
/// its letter at once, targets and options may be mixed, and -- ends the options.
class walk {
public:
    walk(std::vector<std::string> const& argv, reading& into) : argv_(argv), in_(into) {}

    void run() {
        for (; at_ < argv_.size(); ++at_) {
            auto const& word = argv_[at_];
            if (word == "--") return rest();
            if (word.starts_with("--"))
                long_option(word.substr(2));
            else if (word.size() > 1 && word[0] == '-')
                letters(word);
            else
                in_.o.words.push_back(word);
        }
    }

private:
    void rest() {
        in_.o.words.insert(in_.o.words.end(), argv_.begin() + static_cast<std::ptrdiff_t>(at_) + 1,
                           argv_.end());
    }

    void long_option(std::string const& word) {
        auto const equals = word.find('=');
        auto const name = word.substr(0, equals);
        auto const* known = find([&](option const& o) { return !name.empty() && o.name == name; });
        if (known == nullptr) fail("invalid option", word);
        if (equals == std::string::npos) return take(*known, name);
        if (known->argument.empty()) fail("option takes no arguments", name);
        apply(*known, word.substr(equals + 1));
    }

    void letters(std::string const& word) {
        for (std::size_t i = 1; i < word.size(); ++i) {
            std::string const letter(1, word[i]);
            auto const* known = find([&](option const& o) { return o.letter == word[i]; });
            if (known == nullptr) fail("invalid option", letter);
            if (!known->argument.empty() && i + 1 < word.size())
                return apply(*known, word.substr(i + 1));
            take(*known, letter);
        }
    }

    /// With the next word as its value, if it takes one.
    void take(option const& known, std::string const& name) {
        if (known.argument.empty()) return apply(known, {});
        if (at_ + 1 == argv_.size()) fail("option requires an argument", name);
        apply(known, argv_[++at_]);
    }

    void apply(option const& known, std::string const& text) {
        auto const& program = in_.o.program;
        if (known.letter == 'h') throw stop{{0, help(program), ""}};
        if (known.letter == 'v')
            throw stop{
                {0, fmt::format("{0}: Version 5.1\n{0}: as trawl understands it\n", program), ""}};
        known.apply(in_, {in_, known.letter, text});
    }

    [[noreturn]] void fail(std::string_view what, std::string const& name) const {
        refuse_usage(in_.o.program, fmt::format("{} -- '{}'", what, name));
    }

    std::vector<std::string> const& argv_;
    reading& in_;
    std::size_t at_ = 1;
};

void validate(reading const& r) {
    auto const& o = r.o;
    if (o.alive && o.unreachable) refuse(o.program, "specify only one of a, u");
    if (r.counted && r.looped) refuse(o.program, "specify only one of c, l");
    if (o.bytes > most_bytes)
        refuse(o.program,
               fmt::format("data size {} not valid, must be lower than {}", o.bytes, most_bytes));
    if (o.backoff < least_backoff || o.backoff > most_backoff)
        refuse(o.program,
               fmt::format("backoff factor {:.1f} not valid, must be between {:.1f} and {:.1f}",
                           o.backoff, least_backoff, most_backoff));
}

/// What is shown of verdicts and echoes, in fping's words: verbose_flag and per_recv_flag.
void decide(reading& r) {
    auto& o = r.o;
    bool const verbose = !o.quiet && !o.alive && !o.unreachable && o.required == 0;
    bool const forever = r.looped;
    o.each_echo = (r.counted && verbose) || (forever && o.report == duration{}); // even with -q
    o.how = forever     ? fping_options::mode::loop
            : r.counted ? fping_options::mode::count
                        : fping_options::mode::reach;
    o.verdicts = verbose && o.how == fping_options::mode::reach;
    if (o.how != fping_options::mode::reach) o.alive = o.unreachable = false;
    auto const tuned = o.how == fping_options::mode::reach ? default_timeout
                                                           : std::min(o.period, most_tuned_timeout);
    o.timeout = r.timeout.value_or(tuned);
}

void find_targets(fping_options& o) {
    bool const words = !o.words.empty();
    if (words && o.file) refuse_usage(o.program, "targets and -f exclude each other");
    if (o.generate && o.file) refuse_usage(o.program, "-g and -f exclude each other");
    if (o.generate && !words) refuse_usage(o.program, "-g wants a network, or first and last");
    if (!words && !o.file) o.file = "-";
}

} // namespace

std::variant<fping_options, fping_exit> parse_fping(std::vector<std::string> const& argv) {
    reading r;
    if (!argv.empty()) r.o.program = argv.front();
    if (r.o.program.find("fping6") != std::string::npos) r.o.only = fping_options::family::v6;
    r.o.period = 1000ms, r.o.interval = 10ms;
    try {
        walk(argv, r).run();
        validate(r);
        decide(r);
        find_targets(r.o);
    } catch (stop const& early) {
        return early.how;
    }
    return r.o;
}

int fping_exit_code(fping_options const& o, std::size_t hosts, std::size_t alive,
                    std::size_t names_not_found) {
    if (hosts == 0) return names_not_found > 0 ? 2 : 1;
    if (o.required > 0) return alive >= o.required ? 0 : 1;
    if (names_not_found > 0) return 2;
    return alive == hosts ? 0 : 1;
}

} // namespace trawl::cli
