#include "cli/ssh_forward.hpp"

#include <trawl/dns.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace trawl::cli {
namespace {

using kind = forward_rule::kind;
using tcp = asio::ip::tcp;

struct form {
    kind way;
    char const *option, *words;
};

constexpr form forms[] = {
    {kind::local, "-L", "[BIND:]PORT:HOST:HOSTPORT"},
    {kind::remote, "-R", "[BIND:]PORT:HOST:HOSTPORT"},
    {kind::dynamic, "-D", "[BIND:]PORT"},
};

/// The parts between colons, of which those in brackets may have some themselves.
std::optional<std::vector<std::string>> split(std::string_view text) {
    std::vector<std::string> parts;
    for (;;) {
        auto end = text.find(':');
        std::string part(text.substr(0, end));
        if (text.starts_with('[')) {
            auto const close = text.find(']');
            if (close == text.npos) return {};
            part = text.substr(1, close - 1);
            end = close + 1 < text.size() ? close + 1 : text.npos;
            if (end != text.npos && text[end] != ':') return {};
        }
        parts.push_back(std::move(part));
        if (end == text.npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::optional<std::uint16_t> number(std::string const& text, unsigned least) {
    unsigned value = 0;
    auto const end = text.data() + text.size();
    auto const [at, failed] = std::from_chars(text.data(), end, value);
    if (failed != std::errc() || at != end || value < least || value > 65535) return {};
    return static_cast<std::uint16_t>(value);
}

forward_rule parse(form const& as, std::string const& word) {
    auto const wrong = [&](std::string const& why) {
        return usage_error(fmt::format("{} {}: {}", as.option, word, why));
    };
    std::size_t const least = as.way == kind::dynamic ? 1 : 3;
    auto const parts = split(word);
    if (!parts || parts->size() < least || parts->size() > least + 1)
        throw wrong(fmt::format("not {}", as.words));
    bool const bound = parts->size() > least;
    forward_rule rule{};
    rule.way = as.way;
    rule.bind = bound ? parts->front() : "";
    if (bound && rule.bind.empty()) rule.bind = "*"; // as ssh(1)
    auto const port = number((*parts)[bound], 0);
    if (!port) throw wrong((*parts)[bound] + " is no port");
    rule.port = *port;
    asio::error_code no_address;
    asio::ip::make_address(rule.bind, no_address);
    bool const known = rule.bind.empty() || rule.bind == "*" || rule.bind == "localhost";
    if (as.way != kind::remote && !known && no_address)
        throw wrong(rule.bind + " is no address to listen at: an address, localhost or *");
    if (as.way == kind::dynamic) return rule;
    rule.host = (*parts)[parts->size() - 2];
    auto const to = number(parts->back(), 1);
    if (rule.host.empty()) throw wrong("no host");
    if (!to) throw wrong(parts->back() + " is no port");
    rule.host_port = *to;
    return rule;
}

tcp::endpoint local_end(forward_rule const& rule) {
    if (rule.bind == "*") return {asio::ip::address_v6::any(), rule.port}; // and of IPv4
    if (rule.bind.empty() || rule.bind == "localhost")
        return {asio::ip::address_v4::loopback(), rule.port};
    return {asio::ip::make_address(rule.bind), rule.port};
}

std::string describe(forward_rule const& rule, std::uint16_t port) {
    auto const* const side = rule.way == kind::remote ? "the server's port" : "port";
    if (rule.way == kind::dynamic) return fmt::format("{} {} is a SOCKS server", side, port);
    return fmt::format("{} {} leads to {}:{}", side, port, rule.host, rule.host_port);
}

class forward_job : public host_job {
public:
    forward_job(environment& here, std::vector<forward_rule> rules, bool alone,
                std::unique_ptr<host_job> inner)
        : here_(here), rules_(std::move(rules)), alone_(alone), inner_(std::move(inner)) {}

    awaitable<> work(ssh::session& on) override {
        std::vector<ssh::forwarding> open; // all of them, before the command runs
        for (auto const& rule : rules_) {
            auto one = co_await open_port(on, rule);
            tell(describe(rule, one.port()), rule.port == 0);
            open.push_back(std::move(one));
        }
        auto body = [&](task_group& group) -> awaitable<> {
            for (auto& one : open) {
                if (alone_)
                    group.spawn(one.run());
                else
                    group.spawn_background(one.run());
            }
            if (!alone_) co_await inner_->work(on);
        };
        co_await with_group(body);
    }

    outcome ended(host_visit how) override { return inner_->ended(std::move(how)); }

private:
    awaitable<ssh::forwarding> open_port(ssh::session& on, forward_rule const& rule) {
        if (rule.way == kind::local)
            co_return on.forward_local(local_end(rule), rule.host, rule.host_port);
        if (rule.way == kind::dynamic) co_return on.forward_dynamic(local_end(rule));
        auto to = co_await addresses(rule.host);
        auto bind = rule.bind.empty() ? std::string("localhost") : rule.bind;
        if (bind == "*") bind.clear(); // RFC 4254 §7.1
        auto made =
            co_await on.forward_remote(std::move(bind), rule.port, std::move(to), rule.host_port);
        co_return made;
    }

    awaitable<std::vector<asio::ip::address>> addresses(std::string host) {
        asio::error_code is_name;
        std::vector<asio::ip::address> found{asio::ip::make_address(host, is_name)};
        if (is_name) {
            dns::resolver resolver(here_.io().get_executor());
            found = co_await resolver.addresses(std::move(host));
        }
        co_return found;
    }

    /// A port that was chosen is news; another is known.
    void tell(std::string const& what, bool news) {
        if (news)
            here_.say(what + "\n");
        else
            here_.log().log(severity::info, "", what);
    }

    environment& here_;
    std::vector<forward_rule> rules_;
    bool alone_;
    std::unique_ptr<host_job> inner_;
};

} // namespace

void add_forwards(CLI::App& verb, forward_words& into) {
    auto const add = [&](char const* names, std::vector<std::string>& to, char const* help) {
        verb.add_option(names, to, help)->allow_extra_args(false);
    };
    add("-L,--forward-local", into.local,
        "[BIND:]PORT:HOST:HOSTPORT: connections to PORT here go to HOST from the target");
    add("-R,--forward-remote", into.remote,
        "[BIND:]PORT:HOST:HOSTPORT: connections to PORT of the target go to HOST from here");
    add("-D,--forward-dynamic", into.dynamic, "[BIND:]PORT: a SOCKS server here, from the target");
    verb.add_flag("-N,--no-command", into.alone, "No command, only what -L, -R and -D forward");
}

std::vector<forward_rule> parse_forwards(forward_words const& all) {
    std::vector<forward_rule> rules;
    std::vector<std::string> const* const words[] = {&all.local, &all.remote, &all.dynamic};
    for (std::size_t i = 0; i < std::size(words); ++i)
        for (auto const& word : *words[i]) rules.push_back(parse(forms[i], word));
    return rules;
}

std::unique_ptr<host_job> make_forward_job(environment& here, std::vector<forward_rule> rules,
                                           bool alone, std::unique_ptr<host_job> inner) {
    return std::make_unique<forward_job>(here, std::move(rules), alone, std::move(inner));
}

} // namespace trawl::cli
