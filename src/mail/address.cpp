#include "mail/address.hpp"

#include "mail/characters.hpp"
#include "mail/charset.hpp"
#include "mail/decoding.hpp"
#include "mail/encoding.hpp"
#include "mail/header_line.hpp"

#include <trawl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace trawl::mime {
namespace detail {
namespace {

bool is_dot_atom(std::string_view text, bool utf8 = false) {
    if (text.empty() || text.front() == '.' || text.back() == '.' ||
        text.find("..") != std::string_view::npos)
        return false;
    return std::all_of(text.begin(), text.end(),
                       [&](char c) { return is_atext(c) || c == '.' || (utf8 && is_8bit(c)); });
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

std::string domain_fault(std::string_view domain, bool utf8) {
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
            if (!is_alnum(c) && c != '-' && c != '_' && !(utf8 && is_8bit(c)))
                return fmt::format("'{}' cannot be in a domain", shown({&c, 1}));
        begin = end + 1;
    }
    return "";
}

/// Reads RFC 5322 §3.4 from left to right; knows the place for its errors.
class address_reader {
public:
    /// What is read: what somebody writes, or a field of a message, where names are encoded.
    enum class mode { plain, encoded };
    explicit address_reader(std::string_view text, mode how = mode::plain)
        : text_(text), how_(how) {}

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

    std::vector<address> read_list() {
        std::vector<address> found;
        while (!at_end())
            if (!take(',')) found.push_back(read());
        if (found.empty()) fail("an address is missing");
        return found;
    }

    address read() {
        skip_blanks();
        auto const begin = at_;
        auto words = read_words();
        if (words.count > 0 && take(':')) return read_group(std::move(words.text));
        return read_mailbox(std::move(words), begin);
    }

    [[noreturn]] void fail(std::string_view why) const {
        throw error(errc::bad_address, fmt::format("\"{}\"", shown(text_)),
                    fmt::format("at byte {}: {}", at_ + 1, why));
    }

private:
    struct phrase {
        std::string text;
        std::string only_word; ///< a lone word may turn out to be a local part
        std::size_t count = 0;
    };

    phrase read_words() {
        phrase words;
        constexpr std::string_view ends = "<@,:;";
        while (!at_end() && ends.find(text_[at_]) == std::string_view::npos) {
            bool const was_quoted = text_[at_] == '"';
            auto piece = was_quoted ? quoted() : atom();
            if (words.count++ > 0) words.text += ' ';
            words.text += piece;
            words.only_word = was_quoted && !is_dot_atom(piece) ? quoted_string(piece) : piece;
        }
        if (how_ == mode::encoded) words.text = decoded_text(words.text);
        return words;
    }

    address read_group(std::string name) {
        group found{std::move(name), {}};
        while (!take(';')) {
            if (at_end()) fail("';' is missing at the end of the group");
            if (take(',')) continue;
            skip_blanks();
            auto const begin = at_;
            auto words = read_words();
            if (words.count > 0 && take(':')) fail("a group cannot be in a group");
            found.members.push_back(read_mailbox(std::move(words), begin));
        }
        if (!at_element_end()) fail("a comma is missing behind ';'");
        return found;
    }

    mailbox read_mailbox(phrase words, std::size_t begin) {
        if (take('<')) {
            auto address = addr_spec();
            if (!take('>')) fail("'>' is missing");
            if (!at_element_end()) fail("a comma is missing behind '>'");
            return {std::move(words.text), checked(std::move(address), begin)};
        }
        if (words.count == 0) fail("an address is missing");
        if (words.count > 1) fail("more than one word and no address in '<' and '>'");
        if (take('@')) words.only_word += '@' + domain();
        if (!at_element_end()) fail("a comma is missing");
        return {"", checked(std::move(words.only_word), begin)};
    }

    bool at_element_end() { return at_end() || text_[at_] == ',' || text_[at_] == ';'; }

    std::string checked(std::string address, std::size_t begin) {
        auto fault = address_fault(address, true);
        // No address, and to be encoded again: =?utf-8?q?Zo=C3=AB?=
        if (how_ == mode::encoded && address.find("=?") != std::string::npos)
            fault = "an encoded-word is no address";
        if (!fault.empty()) at_ = begin, fail(fault);
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
        // Many leave "," in an encoded-word as it is, which RFC 2047 §5 (3) forbids.
        if (how_ == mode::encoded) at_ += encoded_word_length(text_.substr(at_));
        while (at_ < text_.size() &&
               (is_atext(text_[at_]) || text_[at_] == '.' || is_8bit(text_[at_])))
            ++at_;
        if (at_ == begin) {
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
        auto const end = comment_end(text_, at_);
        if (end == std::string_view::npos) fail("')' is missing");
        at_ = end;
    }

    std::string_view text_;
    mode how_;
    std::size_t at_ = 0;
};

std::optional<std::vector<address>> list_of(std::string_view text, address_reader::mode how) {
    try {
        return address_reader(text, how).read_list();
    } catch (error const&) {
        return std::nullopt;
    }
}

/// A display name as it stands in UTF-8 (RFC 6532): in quotes if it holds more than atoms.
std::string shown_name(std::string_view name) {
    bool const atoms = name.find("  ") == std::string_view::npos && trimmed(name) == name &&
                       std::all_of(name.begin(), name.end(),
                                   [](char c) { return is_atext(c) || is_8bit(c) || c == ' '; });
    return atoms && !name.empty() ? std::string(name) : quoted_string(name);
}

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

std::string address_fault(std::string_view address, bool utf8) {
    auto const domain = domain_of(address);
    auto const local =
        domain.data() ? address.substr(0, address.size() - domain.size() - 1) : address;
    if (!domain.data() && !is_ascii(local))
        return "a name without an address; write NAME <USER@HOST>";
    if (!utf8 && !is_ascii(address))
        return "an address that is not ASCII needs SMTPUTF8; use the xn-- form of a domain";
    if (local.empty()) return "the part before '@' is missing";
    if (local.size() > 64) return "the part before '@' is longer than 64 bytes";
    if (!is_dot_atom(local, utf8) && !is_quoted_local(local))
        return "the part before '@' is malformed";
    return domain.data() ? domain_fault(domain, utf8) : "";
}

void require_header_text(std::string_view what, std::string_view utf8) {
    using namespace std::string_view_literals;
    if (auto const at = utf8.find_first_of("\r\n\0"sv); at != std::string_view::npos)
        throw error(errc::forbidden_character, std::string(what),
                    fmt::format("\"{}\", byte {}", shown(utf8), at + 1));
    if (!is_utf8(utf8))
        throw error(errc::not_utf8, std::string(what), fmt::format("\"{}\"", shown(utf8)));
}

std::optional<std::vector<address>> find_addresses(std::string_view text) {
    return list_of(text, address_reader::mode::plain);
}

std::optional<std::vector<address>> read_addresses(std::string_view value) {
    auto const text = as_utf8(value);
    return list_of(text, address_reader::mode::encoded);
}

} // namespace detail

mailbox parse_mailbox(std::string_view text) {
    detail::require_header_text("mail address", text);
    detail::address_reader reader(text);
    auto found = reader.read();
    if (!reader.at_end()) reader.fail("one address is wanted, not several");
    auto* const one = std::get_if<mailbox>(&found);
    if (!one) reader.fail("one address is wanted, not a group");
    return std::move(*one);
}

std::vector<address> parse_addresses(std::string_view text) {
    detail::require_header_text("mail address", text);
    return detail::address_reader(text).read_list();
}

std::vector<mailbox> mailboxes_of(std::vector<address> const& list) {
    std::vector<mailbox> all;
    for (auto const& one : list)
        if (auto const* const team = std::get_if<group>(&one))
            all.insert(all.end(), team->members.begin(), team->members.end());
        else
            all.push_back(std::get<mailbox>(one));
    return all;
}

std::vector<mailbox> parse_mailboxes(std::string_view text) {
    return mailboxes_of(parse_addresses(text));
}

std::string to_string(mailbox const& box) {
    return box.name.empty() ? box.address
                            : fmt::format("{} <{}>", detail::shown_name(box.name), box.address);
}

std::string to_string(std::vector<address> const& list) {
    std::string out;
    for (auto const& one : list) {
        if (!out.empty()) out += ", ";
        if (auto const* const box = std::get_if<mailbox>(&one)) {
            out += to_string(*box);
            continue;
        }
        auto const& [name, members] = std::get<group>(one);
        out += detail::shown_name(name) + ":";
        for (std::size_t i = 0; i < members.size(); ++i)
            out += (i > 0 ? ", " : " ") + to_string(members[i]);
        out += ';';
    }
    return out;
}

} // namespace trawl::mime
