#include <trawl/dns.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace trawl::dns {

namespace {

constexpr std::array type_names{
    std::pair{type::a, "A"},       std::pair{type::ns, "NS"},     std::pair{type::cname, "CNAME"},
    std::pair{type::soa, "SOA"},   std::pair{type::ptr, "PTR"},   std::pair{type::mx, "MX"},
    std::pair{type::txt, "TXT"},   std::pair{type::aaaa, "AAAA"}, std::pair{type::srv, "SRV"},
    std::pair{type::tlsa, "TLSA"}, std::pair{type::caa, "CAA"},
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// RFC 1035 §5.1: what is not visible ASCII as \DDD.
std::string in_quotes(std::string_view bytes) {
    std::string text = "\"";
    for (unsigned char c : bytes) {
        if (c == '"' || c == '\\')
            text += '\\', text += static_cast<char>(c);
        else if (c < ' ' || c >= 0x7f)
            text += fmt::format("\\{:03}", c);
        else
            text += static_cast<char>(c);
    }
    return text + '"';
}

struct writer {
    std::string operator()(asio::ip::address const& a) const { return a.to_string(); }
    std::string operator()(std::string const& name) const { return name; }
    std::string operator()(mx const& m) const {
        return fmt::format("{} {}", m.preference, m.exchange);
    }
    std::string operator()(srv const& s) const {
        return fmt::format("{} {} {} {}", s.priority, s.weight, s.port, s.target);
    }
    std::string operator()(soa const& s) const {
        return fmt::format("{} {} {} {} {} {} {}", s.primary, s.mailbox, s.serial, s.refresh,
                           s.retry, s.expire, s.minimum);
    }
    std::string operator()(txt const& t) const {
        std::string text;
        for (auto const& one : t.strings) text += (text.empty() ? "" : " ") + in_quotes(one);
        return text;
    }
    std::string operator()(tlsa const& t) const {
        auto text = fmt::format("{} {} {} ", t.usage, t.selector, t.matching);
        for (char c : t.data) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
        return text;
    }
    std::string operator()(caa const& c) const {
        return fmt::format("{} {} {}", c.flags, c.tag, in_quotes(c.value));
    }
};

} // namespace

std::string_view to_string(type of) noexcept {
    auto const found = std::ranges::find(type_names, of, &std::pair<type, char const*>::first);
    return found == type_names.end() ? "?" : found->second;
}

std::optional<type> type_of(std::string_view name) noexcept {
    for (auto const& [of, text] : type_names)
        if (std::ranges::equal(name, std::string_view(text), {}, upper)) return of;
    return std::nullopt;
}

std::string_view to_string(status how) noexcept {
    switch (how) {
    case status::answered: return "answered";
    case status::no_such_name: return "no_such_name";
    case status::no_data: return "no_data";
    case status::server_failure: return "server_failure";
    case status::timed_out: return "timed_out";
    }
    return "?";
}

std::string to_string(value const& what) { return std::visit(writer(), what); }

} // namespace trawl::dns
