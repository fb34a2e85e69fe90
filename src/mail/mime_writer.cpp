#include <trawl/error.hpp>
#include <trawl/mime.hpp>
#include <trawl/mime_part.hpp>

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/encoding.hpp"
#include "mail/header_fields.hpp"
#include "mail/header_line.hpp"
#include "mail/idn.hpp"
#include "mail/letter.hpp"
#include "mail/media_type.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace trawl::mime {
namespace detail {
namespace {

/// A line may have 998 bytes (RFC 5322 §2.1.1); a field's name takes 200 at most.
constexpr std::size_t longest_line = 998, longest_token = 700;
constexpr std::string_view token_others = "!#$%&'*+-.^_`{|}~";

bool is_message(std::string_view type) {
    return type == "message/rfc822" || type == "message/global" || type == "message/news";
}

// ---- header fields ----

std::string address_field(std::string_view name, std::vector<address> const& list, transport way) {
    header_line line(name);
    auto const mailbox_words = [&](mailbox const& box, std::string_view behind) {
        auto const address = way == transport::utf8 ? box.address : ascii_address(box.address);
        if (!address)
            throw error(errc::bad_address, fmt::format("\"{}\"", shown(box.address)),
                        "an address that is not ASCII needs a server with SMTPUTF8");
        if (!box.name.empty()) line.phrase(box.name);
        line.word(box.name.empty() ? fmt::format("{}{}", *address, behind)
                                   : fmt::format("<{}>{}", *address, behind));
    };
    for (std::size_t i = 0; i < list.size(); ++i) {
        std::string_view const comma = i + 1 < list.size() ? "," : "";
        if (auto const* const box = std::get_if<mailbox>(&list[i])) {
            mailbox_words(*box, comma);
            continue;
        }
        auto const& [team, members] = std::get<group>(list[i]);
        line.phrase(team);
        line.glue(":");
        for (std::size_t m = 0; m < members.size(); ++m)
            mailbox_words(members[m], m + 1 < members.size() ? "," : "");
        line.glue(fmt::format(";{}", comma));
    }
    return line.str();
}

std::string written(field const& f, transport way) {
    auto const& [name, value] = f;
    bool const own = equal_nocase(name, "MIME-Version") || equal_nocase(name, "Content-Type") ||
                     equal_nocase(name, "Content-Transfer-Encoding") ||
                     equal_nocase(name, "Content-Disposition");
    bool const good = !name.empty() && name.size() <= 200 &&
                      std::all_of(name.begin(), name.end(),
                                  [](char c) { return c > ' ' && c <= '~' && c != ':'; });
    if (!good || own) throw error(errc::bad_header, fmt::format("mail header \"{}\"", shown(name)));
    auto const kind = kind_of(name);
    if (kind == field_kind::addresses)
        if (auto const list = find_addresses(value)) return address_field(name, *list, way);
    header_line line(name);
    if (kind == field_kind::opaque)
        line.text(value, longest_token);
    else
        line.text(value);
    return line.str();
}

std::string with_parameters(std::string_view name, std::string_view value,
                            std::vector<parameter> const& parameters) {
    header_line line(name);
    line.word(value);
    for (auto const& p : parameters) {
        if (!is_token(p.name, "!#$&+-.^_`{|}~") || p.name.size() > 60)
            throw error(errc::bad_header, fmt::format("mail parameter \"{}\"", shown(p.name)));
        line.parameter(p.name, p.value);
    }
    return line.str();
}

// ---- encodings ----

/// How a part travels; made before the first byte is written, for a multipart's header tells.
struct plan {
    encoding how = encoding::seven_bit;
    bool eight_bit = false;           ///< or something inside
    std::uint64_t size = 0;           ///< of a message in bytes, with CRLF
    std::unique_ptr<part> read_again; ///< a message in bytes that cannot travel as it is
    std::vector<plan> parts;
};

/// A pass over a message in bytes.
struct raw_survey {
    survey seen;
    std::uint64_t size = 0;
    bool nul = false, boundary = false;
};

raw_survey look_through(content const& bytes, std::string_view token) {
    raw_survey found;
    line_ends ends;
    std::string lines, tail; // `tail`: the line that has not ended
    std::array<char, 16384> block;
    auto const from = bytes.open();
    auto const look = [&](std::string_view text) {
        auto const seen = look_at(text);
        found.seen.eight_bit += seen.eight_bit;
        found.seen.longest_line = std::max(found.seen.longest_line, seen.longest_line);
        found.nul |= text.find('\0') != std::string_view::npos;
        found.boundary |= text.find(token) != std::string_view::npos;
    };
    for (auto size = block.size(); size == block.size();) {
        size = from->read(block);
        lines = std::move(tail);
        auto const before = lines.size();
        ends.write({block.data(), size}, lines);
        found.size += lines.size() - before;
        auto const last = lines.rfind("\r\n");
        auto const whole = last == std::string::npos ? 0 : last + 2;
        look(std::string_view(lines).substr(0, whole));
        tail = lines.substr(whole);
        // A line of no end would be kept whole: what is beyond the limit is too long anyway.
        if (tail.size() > block.size()) look(tail), tail.erase(0, tail.size() - longest_line);
    }
    look(tail);
    return found;
}

/// A message that is not read to its end: as it is if it can travel so, else read and written anew.
plan plan_raw_message(part const& p, transport way, std::string const& token,
                      auto const& plan_tree) {
    plan made;
    auto const found = look_through(p.body, token);
    bool const carried = found.seen.eight_bit == 0 || way != transport::seven_bit;
    made.size = found.size;
    made.how = found.seen.eight_bit > 0 ? encoding::eight_bit : encoding::seven_bit;
    made.eight_bit = found.seen.eight_bit > 0;
    if (carried && !found.nul && !found.boundary && found.seen.longest_line <= longest_line)
        return made;
    made.read_again = std::make_unique<part>(read(p.body.bytes()));
    made.parts.push_back(plan_tree(*made.read_again, true));
    made.eight_bit = made.parts.front().eight_bit;
    return made;
}

// ---- the whole ----

class writer {
public:
    writer(transport way, std::string const& token)
        : way_(way), token_(token), made_(std::make_unique<letter>()) {}

    std::unique_ptr<letter> operator()(part const& root) {
        message(root, plan_of(root, true));
        return std::move(made_);
    }

private:
    /// `last`: the message ends with this part.
    plan plan_of(part const& p, bool last) {
        plan made;
        for (auto const& child : p.parts) {
            made.parts.push_back(plan_of(child, is_message(p.type)));
            made.eight_bit |= made.parts.back().eight_bit;
        }
        bool const plural = p.is_multipart(), nested = is_message(p.type);
        if (plural ? p.parts.empty() : p.parts.size() > (nested ? 1 : 0))
            throw error(errc::bad_header, fmt::format("mail part {}", shown(p.type)),
                        plural ? "a multipart without parts" : "parts in what is no multipart");
        if (!p.parts.empty()) return made;
        if (nested)
            return plan_raw_message(p, way_, token_, [this](part const& inner, bool ends) {
                return plan_of(inner, ends);
            });
        bool const message_like = p.type.starts_with("message/");
        bool const legible = (p.is_text() && p.disposition != "attachment") || message_like;
        made.how = legible ? encoding_of(p, last, message_like) : encoding::base64;
        made.eight_bit = made.how == encoding::eight_bit;
        return made;
    }

    encoding encoding_of(part const& p, bool last, bool never_base64) const {
        auto const held = p.body.view();
        if (!held && !never_base64) return encoding::base64;
        auto const read_now = held ? std::string() : p.body.bytes();
        auto const bytes = held ? *held : std::string_view(read_now);
        auto const how = choose(look_at(bytes), bytes.size(), way_ != transport::seven_bit);
        bool const as_it_is = how == encoding::seven_bit || how == encoding::eight_bit;
        // The other encodings cannot contain "=_", so that no boundary can appear in them; and
        // without a line end at the message's end, quoted-printable can say that there is none.
        bool const unsafe = bytes.find(token_) != std::string_view::npos ||
                            (last && !bytes.empty() && !bytes.ends_with("\r\n"));
        return (as_it_is && unsafe) || (how == encoding::base64 && never_base64)
                   ? encoding::quoted_printable
                   : how;
    }

    void message(part const& p, plan const& how) {
        for (auto const& f : p.fields) made_->append(written(f, way_));
        made_->append("MIME-Version: 1.0\r\n");
        entity(p, how);
    }

    /// The fields of Content-*, `more` and the body.
    void entity(part const& p, plan const& how, std::vector<field> const& more = {}) {
        auto parameters = p.parameters;
        std::string boundary;
        if (p.is_multipart()) {
            std::erase_if(parameters, [](auto const& x) { return x.name == "boundary"; });
            // The subtype's letter is for those who look at the source.
            char const letter = p.type.back() == '/' ? 'x' : p.type[p.type.find('/') + 1];
            boundary = fmt::format("=_{}{}_{}", is_alnum(letter) ? letter : 'x',
                                   boundaries_ > 0 ? std::to_string(boundaries_) : "", token_);
            ++boundaries_;
            parameters.push_back({"boundary", boundary});
        }
        if (!is_media_type(p.type))
            throw error(errc::bad_header, fmt::format("mail part \"{}\"", shown(p.type)),
                        "no media type");
        made_->append(with_parameters("Content-Type", p.type, parameters));
        auto const shown_coding = p.parts.empty() && !how.read_again ? how.how
                                  : how.eight_bit                    ? encoding::eight_bit
                                                                     : encoding::seven_bit;
        if ((p.parts.empty() && !is_message(p.type)) || how.eight_bit)
            made_->append(
                fmt::format("Content-Transfer-Encoding: {}\r\n", to_string(shown_coding)));
        if (!p.disposition.empty()) {
            if (!is_token(p.disposition, token_others) || p.disposition.size() > 60)
                throw error(errc::bad_header,
                            fmt::format("mail disposition \"{}\"", shown(p.disposition)));
            made_->append(
                with_parameters("Content-Disposition", p.disposition, p.disposition_parameters));
        }
        for (auto const& f : more) made_->append(written(f, way_));
        made_->append("\r\n");
        if (p.is_multipart())
            multipart(p, how, boundary);
        else
            body(p, how);
    }

    void multipart(part const& p, plan const& how, std::string_view boundary) {
        for (std::size_t i = 0; i < p.parts.size(); ++i) {
            made_->append(fmt::format("--{}\r\n", boundary));
            entity(p.parts[i], how.parts[i], p.parts[i].fields);
            made_->append("\r\n");
        }
        made_->append(fmt::format("--{}--\r\n", boundary));
    }

    void body(part const& p, plan const& how) {
        if (how.read_again) return message(*how.read_again, how.parts.front());
        if (!p.parts.empty()) return message(p.parts.front(), how.parts.front());
        if (is_message(p.type)) return made_->append_lines(p.body, how.size);
        if (how.how == encoding::base64) return made_->append_base64(p.body);
        auto const held = p.body.view();
        auto const read_now = held ? std::string() : p.body.bytes();
        auto const bytes = held ? *held : std::string_view(read_now);
        if (how.how != encoding::quoted_printable) return made_->append(bytes);
        made_->append(quoted_printable(bytes));
        if (!bytes.empty() && !bytes.ends_with("\r\n")) made_->append("=\r\n");
    }

    transport way_;
    std::string const& token_;
    std::unique_ptr<letter> made_;
    std::size_t boundaries_ = 0;
};

} // namespace

std::unique_ptr<letter> open_letter(part const& root, transport way, std::string const& token) {
    return writer(way, token)(root);
}

} // namespace detail

std::unique_ptr<source> open(part const& message, transport way) {
    auto const token = detail::random_token();
    return detail::open_letter(message, way, token);
}

std::string write(part const& message, transport way) { return read_all(*open(message, way)); }

} // namespace trawl::mime
