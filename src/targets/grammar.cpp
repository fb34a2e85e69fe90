#include "targets/grammar.hpp"

#include <trawl/error.hpp>

#include <fmt/format.h>

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace trawl::targets::detail {

namespace {

constexpr auto npos = std::string_view::npos;
constexpr std::size_t longest_number = 18; // digits that a 64-bit number surely holds

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) noexcept {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_separator(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

// A byte of the target for a message; never a raw control byte or half a UTF-8 sequence.
std::string shown(char c) {
    if (c > ' ' && c < 0x7f) return fmt::format("'{}'", c);
    return fmt::format("byte 0x{:02x}", static_cast<unsigned char>(c));
}

std::string quoted(std::string_view word) {
    constexpr std::size_t enough = 80;
    std::string text = "\"";
    for (char c : word.substr(0, enough))
        if (c >= ' ' && c < 0x7f)
            text += c;
        else
            text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return text + (word.size() > enough ? "...\"" : "\"");
}

// A piece of the word with its place in it, so that every complaint has a column.
struct piece {
    std::string_view text;
    std::size_t at;

    piece sub(std::size_t from, std::size_t length = npos) const {
        return {text.substr(from, length), at + from};
    }
};

class word_parser {
public:
    word_parser(std::string_view text, std::string_view word, origin const& from)
        : word_(word), from_(from), offset_(static_cast<std::size_t>(word.data() - text.data())) {}

    item parse() {
        piece const whole{word_, 0};
        auto const colons = std::count(word_.begin(), word_.end(), ':');
        if (word_.front() == '[') {
            auto const close = word_.find(']');
            if (word_.substr(0, close).find(':') != npos) return bracketed_v6(whole, close);
        }
        if (colons > 1) return made(v6(whole), {});

        auto const colon = word_.find(':');
        auto const host = whole.sub(0, colon);
        std::optional<std::uint16_t> number;
        if (colon != npos) number = port(whole.sub(colon + 1));
        if (host.text.empty()) fail_at(0, "a host is missing before the port");
        bool const numeric =
            is_digit(host.text.front()) && host.text.find_first_not_of("0123456789./-") == npos;
        if (numeric) return made(v4(host), number);
        return made(names(host), number);
    }

private:
    [[noreturn]] void fail_at(std::size_t at, std::string const& why) const {
        fail(from_, offset_ + at, word_, why);
    }

    template <class Hosts>
    item made(Hosts hosts, std::optional<std::uint16_t> number) const {
        return {std::move(hosts), number, offset_, word_.size()};
    }

    item bracketed_v6(piece whole, std::size_t close) const {
        if (close == npos) fail_at(word_.size(), "']' is missing");
        auto hosts = v6(whole.sub(1, close - 1));
        auto const rest = whole.sub(close + 1);
        if (rest.text.empty()) return made(std::move(hosts), {});
        if (rest.text.front() != ':') fail_at(rest.at, "only :PORT may follow ']'");
        auto const number = port(rest.sub(1));
        return made(std::move(hosts), number);
    }

    // A decimal number without sign or leading zeros.
    std::uint64_t decimal(piece digits, std::string const& what, std::uint64_t most) const {
        if (digits.text.empty()) fail_at(digits.at, what + " is missing");
        for (std::size_t i = 0; i < digits.text.size(); ++i)
            if (!is_digit(digits.text[i]))
                fail_at(digits.at + i,
                        fmt::format("{} is a number, not {}", what, shown(digits.text[i])));
        if (digits.text.size() > 1 && digits.text.front() == '0')
            fail_at(digits.at, what + " has a leading zero");
        std::uint64_t value = most + 1;
        if (digits.text.size() <= longest_number)
            std::from_chars(digits.text.data(), digits.text.data() + digits.text.size(), value);
        if (value > most) fail_at(digits.at, fmt::format("{} is at most {}", what, most));
        return value;
    }

    std::uint16_t port(piece digits) const {
        auto const value = decimal(digits, "a port", 65535);
        if (value == 0) fail_at(digits.at, "a port is at least 1");
        return static_cast<std::uint16_t>(value);
    }

    wide v4_address(piece dotted) const {
        wide value = 0;
        for (int octet = 1; octet <= 4; ++octet) {
            auto const dot = octet < 4 ? dotted.text.find('.') : npos;
            if (octet < 4 && dot == npos)
                fail_at(dotted.at + dotted.text.size(), "an IPv4 address has four octets");
            value = value << 8 | decimal(dotted.sub(0, dot), "an octet", 255);
            if (dot != npos) dotted = dotted.sub(dot + 1);
        }
        return value;
    }

    address_range v4(piece host) const {
        if (auto const slash = host.text.find('/'); slash != npos)
            return network(false, v4_address(host.sub(0, slash)), host.sub(slash + 1));
        auto const dash = host.text.find('-');
        auto const first = v4_address(host.sub(0, dash));
        if (dash == npos) return {false, 0, {first, first}};

        auto const end = host.sub(dash + 1);
        wide last = 0;
        if (end.text.find('.') != npos)
            last = v4_address(end);
        else
            last = (first & ~wide(0xff)) | decimal(end, "an octet", 255);
        return range(false, first, last, end);
    }

    wide v6_address(piece text) const {
        for (std::size_t i = 0; i < text.text.size(); ++i)
            if (char c = text.text[i]; !is_hex(c) && c != ':' && c != '.')
                fail_at(text.at + i, shown(c) + " is not part of an IPv6 address");
        std::array<unsigned char, 16> bytes{};
        if (inet_pton(AF_INET6, std::string(text.text).c_str(), bytes.data()) != 1)
            fail_at(text.at, "not an IPv6 address");
        wide value = 0;
        for (auto byte : bytes) value = value << 8 | byte;
        return value;
    }

    address_range v6(piece host) const {
        if (auto const percent = host.text.find('%'); percent != npos) {
            auto const address = v6_address(host.sub(0, percent));
            return {true, zone(host.sub(percent + 1)), {address, address}};
        }
        if (auto const slash = host.text.find('/'); slash != npos)
            return network(true, v6_address(host.sub(0, slash)), host.sub(slash + 1));
        auto const dash = host.text.find('-');
        auto const first = v6_address(host.sub(0, dash));
        if (dash == npos) return {true, 0, {first, first}};

        auto const end = host.sub(dash + 1);
        wide last = 0;
        if (end.text.find(':') != npos)
            last = v6_address(end);
        else
            last = (first & ~wide(0xffff)) | group(end);
        return range(true, first, last, end);
    }

    std::uint64_t group(piece hex) const {
        std::uint64_t value = 0;
        auto const end = hex.text.data() + hex.text.size();
        auto const [stop, failure] = std::from_chars(hex.text.data(), end, value, 16);
        if (hex.text.empty() || hex.text.size() > 4 || failure != std::errc() || stop != end)
            fail_at(hex.at, "a range ends with an IPv6 address or its last group");
        return value;
    }

    std::uint32_t zone(piece name) const {
        if (name.text.empty()) fail_at(name.at, "a zone is missing");
        if (std::all_of(name.text.begin(), name.text.end(), is_digit)) {
            auto const index = decimal(name, "a zone", 0x7fffffff);
            if (index == 0) fail_at(name.at, "a zone is at least 1");
            return static_cast<std::uint32_t>(index);
        }
        if (name.text.find('\0') != npos) fail_at(name.at, "a zone has no NUL");
        auto const index = if_nametoindex(std::string(name.text).c_str());
        if (index == 0) fail_at(name.at, "no such interface: " + quoted(name.text));
        return index;
    }

    address_range network(bool is_v6, wide address, piece prefix) const {
        unsigned const width = is_v6 ? 128 : 32;
        auto const length = static_cast<unsigned>(decimal(prefix, "a prefix length", width));
        auto const all = is_v6 ? ~wide(0) : wide(0xffffffff);
        auto const hosts = length == 0 ? all : length == width ? wide(0) : all >> length;
        return {is_v6, 0, {address & ~hosts, address | hosts}};
    }

    address_range range(bool is_v6, wide first, wide last, piece end) const {
        if (last < first) fail_at(end.at, "the range ends before it begins");
        return {is_v6, 0, {first, last}};
    }

    // NAME or HEAD[NUMBERS]MIDDLE[NUMBERS]TAIL. `sample` is the longest name of the list and knows
    // where each of its characters was written: the rules of RFC 1123 are checked on it.
    host_list names(piece host) const {
        host_list list;
        list.literals.emplace_back();
        std::string sample;
        std::vector<std::size_t> written;
        while (!host.text.empty()) {
            if (host.text.front() != '[') {
                list.literals.back() += host.text.front();
                sample += host.text.front();
                written.push_back(host.at);
                host = host.sub(1);
                continue;
            }
            auto const close = host.text.find(']');
            if (close == npos) fail_at(word_.size(), "']' is missing");
            list.brackets.push_back(numbers(host.sub(1, close - 1)));
            list.literals.emplace_back();
            sample.append(list.brackets.back().widest(), '0');
            written.resize(sample.size(), host.at);
            host = host.sub(close + 1);
        }
        check_name(sample, written);
        check_unambiguous(list);
        check_size(list);
        return list;
    }

    bracket numbers(piece inside) const {
        bracket result;
        for (;;) {
            auto const comma = inside.text.find(',');
            auto const part = inside.sub(0, comma);
            auto const dash = part.text.find('-');
            auto const low = part.sub(0, dash);
            auto const first = bracket_number(low);
            auto last = first;
            if (dash != npos) {
                auto const high = part.sub(dash + 1);
                last = bracket_number(high);
                if (last < first) fail_at(high.at, "the range ends before it begins");
                if (high.text.front() == '0' && high.text.size() > 1 &&
                    high.text.size() != low.text.size())
                    fail_at(high.at, "zero padding of both ends of a range must agree");
            }
            bool const padded = low.text.front() == '0';
            result.add(first, last, padded ? static_cast<unsigned>(low.text.size()) : 1);
            if (comma == npos) return result;
            inside = inside.sub(comma + 1);
        }
    }

    std::uint64_t bracket_number(piece digits) const {
        if (digits.text.empty()) fail_at(digits.at, "a number is missing");
        for (std::size_t i = 0; i < digits.text.size(); ++i)
            if (!is_digit(digits.text[i]))
                fail_at(digits.at + i, "a bracket holds numbers, not " + shown(digits.text[i]));
        if (digits.text.size() > longest_number)
            fail_at(digits.at, fmt::format("a number has at most {} digits", longest_number));
        std::uint64_t value = 0;
        std::from_chars(digits.text.data(), digits.text.data() + digits.text.size(), value);
        return value;
    }

    void check_name(std::string_view sample, std::vector<std::size_t> const& written) const {
        for (std::size_t i = 0; i < sample.size(); ++i) {
            char const c = sample[i];
            if (static_cast<unsigned char>(c) >= 0x80)
                fail_at(written[i], "a name is ASCII: write an international name as xn--...");
            if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_' && c != '.')
                fail_at(written[i], shown(c) + " is not part of a name");
        }
        std::size_t begin = 0;
        while (begin < sample.size()) {
            auto const end = std::min(sample.find('.', begin), sample.size());
            if (end == begin) fail_at(written[begin], "a label is missing before '.'");
            if (end - begin > 63) fail_at(written[begin], "a label has at most 63 characters");
            if (sample[begin] == '-') fail_at(written[begin], "a label begins with '-'");
            if (sample[end - 1] == '-') fail_at(written[end - 1], "a label ends with '-'");
            begin = end + 1;
        }
        auto const length = sample.size() - (sample.back() == '.');
        if (length > 253) fail_at(written[253], "a name has at most 253 characters");
        if (std::none_of(sample.begin(), sample.end(),
                         [](char c) { return is_letter(c) || c == '_'; }))
            fail_at(written[0], "neither an address nor a name");
    }

    // [1-20][1-20] would make 111 twice: of the brackets that only digits separate, one may vary in
    // width.
    void check_unambiguous(host_list const& list) const {
        bool varied = false;
        for (std::size_t i = 0; i < list.brackets.size(); ++i) {
            auto const& before = list.literals[i];
            if (!std::all_of(before.begin(), before.end(), is_digit)) varied = false;
            if (list.brackets[i].fixed_width()) continue;
            if (varied) fail_at(nth_bracket(i), "brackets that touch need zero padding (01-20)");
            varied = true;
        }
    }

    void check_size(host_list const& list) const {
        wide product = 1;
        for (std::size_t i = 0; i < list.brackets.size(); ++i) {
            product *= list.brackets[i].size();
            if (product > ~std::uint64_t(0)) fail_at(nth_bracket(i), "more than 2^64 names");
        }
    }

    std::size_t nth_bracket(std::size_t n) const {
        auto at = word_.find('[');
        while (n-- > 0) at = word_.find('[', at + 1);
        return at;
    }

    std::string_view word_;
    origin const& from_;
    std::size_t offset_;
};

} // namespace

std::vector<item> parse_items(std::string_view text, origin const& from) {
    std::vector<item> items;
    std::size_t begin = 0;
    bool inside = false;
    auto const take = [&](std::size_t end) {
        if (end > begin) {
            auto const word = text.substr(begin, end - begin);
            items.push_back(word_parser(text, word, from).parse());
        }
        begin = end + 1;
        inside = false;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '[') inside = true;
        if (text[i] == ']') inside = false;
        if (is_separator(text[i]) || (text[i] == ',' && !inside)) take(i);
    }
    take(text.size());
    return items;
}

void fail(origin const& from, std::size_t at, std::string_view word, std::string const& why) {
    auto const column = from.column + at;
    std::string where;
    if (from.line > 0)
        where = fmt::format("{}:{}:{}", from.name, from.line, column);
    else if (!from.name.empty())
        where = fmt::format("{}, column {}", from.name, column);
    else
        where = fmt::format("column {}", column);
    throw error(errc::bad_target, where, quoted(word) + ": " + why);
}

void fail_overlap(origin const& from, std::string_view text, item const& entry) {
    fail(from, entry.offset, text.substr(entry.offset, entry.length),
         "may repeat names of another large host list: list them once");
}

asio::ip::address address_of(bool v6, std::uint32_t scope, wide number) {
    if (!v6) return asio::ip::address_v4(static_cast<asio::ip::address_v4::uint_type>(number));
    asio::ip::address_v6::bytes_type bytes;
    for (std::size_t i = bytes.size(); i-- > 0; number >>= 8)
        bytes[i] = static_cast<unsigned char>(number & 0xff);
    return asio::ip::address_v6(bytes, scope);
}

} // namespace trawl::targets::detail
