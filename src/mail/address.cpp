#include "mail/address.hpp"

#include "mail/encoding.hpp"

#include <trawl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace trawl::mime {
namespace detail {
namespace {

constexpr std::string_view specials_of_atoms = "!#$%&'*+-/=?^_`{|}~";

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_atext(char c) { return is_alnum(c) || specials_of_atoms.find(c) != std::string_view::npos; }
bool is_8bit(char c) { return static_cast<unsigned char>(c) > 127; }

bool is_dot_atom(std::string_view text) {
    if (text.empty() || text.front() == '.' || text.back() == '.' ||
        text.find("..") != std::string_view::npos)
        return false;
    return std::all_of(text.begin(), text.end(), [](char c) { return is_atext(c) || c == '.'; });
}

/// A quoted-string with nothing but printable ASCII in it.
bool is_quoted_local(std::string_view text) {
    if (text.size() < 3 || text.front() != '"' || text.back() != '"') return false;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"') return false;
        if (text[i] == '\\' && ++i + 1 >= text.size()) return false;
    }
    return true;
}

std::string domain_fault(std::string_view domain) {
    if (domain.size() > 255) return "its domain is longer than 255 bytes";
    if (domain.size() > 2 && domain.front() == '[' && domain.back() == ']') {
        auto const inner = domain.substr(1, domain.size() - 2);
        bool const good = std::all_of(inner.begin(), inner.end(), [](char c) {
            return is_alnum(c) || c == '.' || c == ':' || c == '-';
        });
        return good ? "" : "its address literal is malformed";
    }
    for (std::size_t begin = 0; begin <= domain.size();) {
        auto const end = std::min(domain.find('.', begin), domain.size());
        auto const label = domain.substr(begin, end - begin);
        if (label.empty()) return "its domain has an empty label";
        if (label.size() > 63) return "its domain has a label longer than 63 bytes";
        if (label.front() == '-' || label.back() == '-')
            return "a label of its domain begins or ends with '-'";
        for (char c : label)
            if (!is_alnum(c) && c != '-' && c != '_')
                return fmt::format("'{}' cannot be in a domain", shown({&c, 1}));
        begin = end + 1;
    }
    return "";
}

/// Reads RFC 5322 §3.4 from left to right; knows the place for its errors.
class address_reader {
public:
    explicit address_reader(std::string_view text) : text_(text) {}

    bool at_end() {
        skip_blanks();
        return at_ == text_.size();
    }
    bool take(char c) {
        skip_blanks();
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    std::size_t place() const { return at_; }

    mailbox read() {
        std::string name;
        std::optional<std::string> only_word; // a lone word may turn out to be a local part
        std::size_t words = 0;
        skip_blanks();
        auto const begin = at_;
        while (!at_end() && text_[at_] != '<' && text_[at_] != '@' && text_[at_] != ',') {
            bool const was_quoted = text_[at_] == '"';
            auto piece = was_quoted ? quoted() : atom();
            if (words++ > 0) name += ' ';
            name += piece;
            if (was_quoted && !is_dot_atom(piece))
                only_word = quoted_string(piece);
            else
                only_word = piece;
        }
        if (take('<')) {
            auto address = addr_spec();
            if (!take('>')) fail("'>' is missing");
            if (!at_end() && text_[at_] != ',') fail("a comma is missing behind '>'");
            return {std::move(name), checked(std::move(address), begin)};
        }
        if (words == 0) fail("an address is missing");
        if (words > 1) fail("more than one word and no address in '<' and '>'");
        if (take('@')) *only_word += '@' + domain();
        if (!at_end() && text_[at_] != ',') fail("a comma is missing");
        return {"", checked(std::move(*only_word), begin)};
    }

    [[noreturn]] void fail(std::string_view why) const {
        throw error(errc::bad_address, fmt::format("\"{}\"", shown(text_)),
                    fmt::format("at byte {}: {}", at_ + 1, why));
    }

private:
    std::string checked(std::string address, std::size_t begin) {
        if (auto const fault = address_fault(address); !fault.empty()) at_ = begin, fail(fault);
        return address;
    }

    std::string addr_spec() {
        skip_blanks();
        if (at_ == text_.size() || text_[at_] == '>') fail("an address is missing");
        std::string local;
        if (text_[at_] == '"') {
            local = quoted();
            if (!is_dot_atom(local)) local = quoted_string(local);
        } else
            local = atom();
        return take('@') ? local + '@' + domain() : local;
    }

    std::string domain() {
        skip_blanks();
        if (at_ < text_.size() && text_[at_] == '[') {
            auto const end = text_.find(']', at_);
            if (end == std::string_view::npos) fail("']' is missing");
            auto const begin = std::exchange(at_, end + 1);
            return std::string(text_.substr(begin, end + 1 - begin));
        }
        if (at_ == text_.size()) fail("a domain is missing behind '@'");
        return atom();
    }

    /// Letters of any script, digits, dots and RFC 5322's atext.
    std::string atom() {
        auto const begin = at_;
        while (at_ < text_.size() &&
               (is_atext(text_[at_]) || text_[at_] == '.' || is_8bit(text_[at_])))
            ++at_;
        if (at_ == begin) {
            if (text_[at_] == ':' || text_[at_] == ';') fail("groups are not supported");
            fail(fmt::format("'{}' must be in double quotes", shown(text_.substr(at_, 1))));
        }
        return std::string(text_.substr(begin, at_ - begin));
    }

    std::string quoted() {
        std::string out;
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
            out += text_[at_];
        }
        if (at_ == text_.size()) fail("a double quote is missing");
        ++at_;
        return out;
    }

    void skip_blanks() {
        while (at_ < text_.size()) {
            if (text_[at_] == '(')
                skip_comment();
            else if (text_[at_] == ' ' || text_[at_] == '\t')
                ++at_;
            else
                break;
        }
    }

    void skip_comment() {
        auto const begin = at_;
        int depth = 0;
        for (; at_ < text_.size(); ++at_) {
            if (text_[at_] == '\\')
                ++at_;
            else if (text_[at_] == '(')
                ++depth;
            else if (text_[at_] == ')' && --depth == 0) {
                ++at_;
                return;
            }
        }
        at_ = begin;
        fail("')' is missing");
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

std::string shown(std::string_view value) {
    std::string out;
    bool const utf8 = is_utf8(value);
    for (char c : value) {
        auto const byte = static_cast<unsigned char>(c);
        if (out.size() >= 80 && (byte & 0xc0) != 0x80) return out + "...";
        if (byte < 32 || byte == 127 || (byte > 127 && !utf8))
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out;
}

std::string_view domain_of(std::string_view address) {
    auto const at = address.rfind('@');
    return at == std::string_view::npos ? std::string_view() : address.substr(at + 1);
}

std::string address_fault(std::string_view address) {
    if (std::any_of(address.begin(), address.end(), is_8bit))
        return "an address that is not ASCII needs SMTPUTF8, which is not supported; use the xn-- "
               "form of a domain";
    auto const domain = domain_of(address);
    auto const local =
        domain.data() ? address.substr(0, address.size() - domain.size() - 1) : address;
    if (local.empty()) return "the part before '@' is missing";
    if (local.size() > 64) return "the part before '@' is longer than 64 bytes";
    if (!is_dot_atom(local) && !is_quoted_local(local)) return "the part before '@' is malformed";
    return domain.data() ? domain_fault(domain) : "";
}

void require_header_text(std::string_view what, std::string_view utf8) {
    using namespace std::string_view_literals;
    if (auto const at = utf8.find_first_of("\r\n\0"sv); at != std::string_view::npos)
        throw error(errc::forbidden_character, std::string(what),
                    fmt::format("\"{}\", byte {}", shown(utf8), at + 1));
    if (!is_utf8(utf8))
        throw error(errc::not_utf8, std::string(what), fmt::format("\"{}\"", shown(utf8)));
}

} // namespace detail

mailbox parse_mailbox(std::string_view text) {
    detail::require_header_text("mail address", text);
    detail::address_reader reader(text);
    auto found = reader.read();
    if (!reader.at_end()) reader.fail("one address is wanted, not several");
    return found;
}

std::vector<mailbox> parse_mailboxes(std::string_view text) {
    detail::require_header_text("mail address", text);
    detail::address_reader reader(text);
    std::vector<mailbox> found;
    while (!reader.at_end())
        if (!reader.take(',')) found.push_back(reader.read());
    if (found.empty()) reader.fail("an address is missing");
    return found;
}

} // namespace trawl::mime
