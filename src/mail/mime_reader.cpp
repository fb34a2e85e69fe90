#include <trawl/mime.hpp>
#include <trawl/mime_part.hpp>

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/charset.hpp"
#include "mail/decoding.hpp"
#include "mail/encoding.hpp"
#include "mail/header_fields.hpp"
#include "mail/header_line.hpp"
#include "mail/media_type.hpp"

#include <algorithm>
#include <utility>

namespace trawl::mime {
namespace {

using detail::equal_nocase;
using detail::line_cutter;

/// How the body is written, as its header says.
enum class coding { identity, binary, quoted_printable, base64, unknown };

coding coding_of(std::string_view name) {
    for (auto identity : {"", "7bit", "8bit", "7-bit", "8-bit"})
        if (equal_nocase(name, identity)) return coding::identity;
    if (equal_nocase(name, "binary")) return coding::binary;
    if (equal_nocase(name, "quoted-printable")) return coding::quoted_printable;
    return equal_nocase(name, "base64") ? coding::base64 : coding::unknown;
}

std::string decoded(std::string_view raw, coding how) {
    switch (how) {
    case coding::identity: return detail::with_crlf(raw);
    case coding::quoted_printable: return detail::quoted_printable_decoded(raw);
    case coding::base64: return detail::base64_decoded(raw);
    default: return std::string(raw);
    }
}

bool is_message(std::string_view type) {
    return type == "message/rfc822" || type == "message/global" || type == "message/news";
}

/// The value of an address list as parse_addresses reads it, or the text as it is.
std::string decoded_value(std::string_view name, std::string_view raw) {
    auto const line = detail::unfolded(raw);
    if (detail::kind_of(name) != detail::field_kind::addresses) return detail::decoded_text(line);
    if (auto const found = detail::read_addresses(line)) return to_string(*found);
    // Words that are decoded, or written anew, may make a list of what was none: that counts.
    auto text = detail::decoded_text(line);
    if (auto const found = detail::find_addresses(text)) return to_string(*found);
    detail::header_line again("");
    again.text(text);
    auto const found = detail::read_addresses(detail::unfolded(again.str().substr(1)));
    return found ? to_string(*found) : text;
}

class parser {
public:
    parser(std::string_view text, limits const& most, std::size_t& parts_left)
        : lines_(text), most_(most), parts_left_(parts_left) {}

    part entity(std::size_t depth, std::string_view default_type) {
        part made;
        made.type = default_type;
        auto const how = header(made);
        if (made.is_multipart() && !boundary_.empty())
            multipart(made, depth, std::exchange(boundary_, {}), how);
        else if (is_message(made.type))
            message(made, depth, how);
        else
            leaf(made, how);
        return made;
    }

private:
    static void blame(part& p, std::string_view what) {
        if (std::ranges::find(p.faults, what) == p.faults.end()) p.faults.emplace_back(what);
    }

    /// Reads the header and returns how the body is encoded; boundary_ is that of a multipart.
    coding header(part& made) {
        auto const raw = detail::read_header(lines_, most_.header, most_.fields);
        if (!raw.ended) blame(made, "no empty line between header and body");
        if (raw.truncated) blame(made, "a header beyond the limit; the rest of it is left out");
        boundary_.clear();
        bool typed = false, placed = false, coded = false;
        auto how = coding::identity;
        for (auto const& [name, value] : raw.fields) {
            if (equal_nocase(name, "Content-Type")) {
                if (!std::exchange(typed, true))
                    take_type(made, value);
                else
                    blame(made, "Content-Type twice");
            } else if (equal_nocase(name, "Content-Disposition")) {
                if (!std::exchange(placed, true))
                    take_disposition(made, value);
                else
                    blame(made, "Content-Disposition twice");
            } else if (equal_nocase(name, "Content-Transfer-Encoding")) {
                auto const said = detail::read_parameters(detail::unfolded(value)).value;
                if (!std::exchange(coded, true))
                    how = coding_of(said);
                else
                    blame(made, "Content-Transfer-Encoding twice");
            } else if (!equal_nocase(name, "MIME-Version"))
                made.fields.push_back({std::string(name), decoded_value(name, value)});
        }
        if (how == coding::unknown) { // RFC 2045 §6.4
            blame(made, "an unknown Content-Transfer-Encoding; the body is left as it is");
            made.type = "application/octet-stream";
            made.parameters.clear();
            how = coding::binary;
        }
        if (made.is_multipart() && boundary_.empty()) {
            blame(made, "a multipart without a boundary");
            as_text(made);
        }
        return how;
    }

    void take_type(part& made, std::string_view value) {
        auto said = detail::read_parameters(detail::unfolded(value));
        if (!detail::is_media_type(said.value))
            return blame(made, "a Content-Type that is no type");
        made.type = std::move(said.value);
        for (auto& p : said.parameters)
            if (p.name == "boundary" && made.is_multipart())
                boundary_ = detail::trimmed(p.value);
            else if (p.name == "charset")
                made.parameters.push_back({p.name, detail::canonical_charset(p.value)});
            else
                made.parameters.push_back(std::move(p));
    }

    static void take_disposition(part& made, std::string_view value) {
        auto said = detail::read_parameters(detail::unfolded(value));
        if (!detail::is_token(said.value, "!#$%&'*+-.^_`{|}~") || said.value.size() > 60)
            return blame(made, "a Content-Disposition that is none");
        made.disposition = std::move(said.value);
        made.disposition_parameters = std::move(said.parameters);
    }

    static void as_text(part& made) {
        made.type = "text/plain";
        made.parameters.clear();
    }

    /// True when `line` is a boundary of one of the multiparts around; `hit` is the innermost of
    /// that name.
    bool at_boundary(std::string_view line) {
        if (!line.starts_with("--") || stack_.empty()) return false;
        line.remove_prefix(2);
        for (auto i = stack_.size(); i-- > 0;) {
            if (!line.starts_with(stack_[i])) continue;
            auto rest = line.substr(stack_[i].size());
            bool const closes = rest.starts_with("--");
            if (closes) rest.remove_prefix(2);
            if (!detail::trimmed(rest).empty()) continue;
            hit_ = i, closes_ = closes;
            return true;
        }
        return false;
    }

    /// Up to the next boundary, or to the end; without the line end that belongs to the boundary.
    std::string_view raw_body() {
        auto const begin = lines_.place();
        auto end = begin; // of the line before
        while (!lines_.at_end()) {
            auto const line = lines_.peek();
            if (at_boundary(line.text)) return lines_.between(begin, std::max(begin, end));
            end = line.begin + line.text.size();
            lines_.skip(line);
        }
        return lines_.between(begin, lines_.place());
    }

    void leaf(part& made, coding how) { made.body = decoded(raw_body(), how); }

    /// More parts than are wanted stay bytes.
    void unread(part& made, std::string_view why) {
        blame(made, why);
        made.body = decoded(raw_body(), coding::binary);
        made.type = "application/octet-stream";
        made.parameters.clear();
    }

    void message(part& made, std::size_t depth, coding how) {
        if (depth >= most_.depth) return unread(made, "nested too deep; left as it is");
        if (how != coding::base64 && how != coding::quoted_printable) {
            made.parts.push_back(entity(depth + 1, "text/plain"));
            return;
        }
        blame(made, "a message in an encoding that none may have"); // RFC 2046 §5.2.1
        auto const inner = decoded(raw_body(), how);
        made.parts.push_back(parser(inner, most_, parts_left_).entity(depth + 1, "text/plain"));
    }

    void multipart(part& made, std::size_t depth, std::string boundary, coding how) {
        if (depth >= most_.depth) return unread(made, "nested too deep; left as it is");
        if (how == coding::base64 || how == coding::quoted_printable)
            blame(made, "an encoding that no multipart may have"); // RFC 2045 §6.4
        auto const begin = lines_;
        auto const own = stack_.size();
        stack_.push_back(std::move(boundary));
        std::string_view const default_type =
            made.type == "multipart/digest" ? "message/rfc822" : "text/plain";
        (void)raw_body(); // the preamble
        bool ended = false;
        while (!lines_.at_end() && hit_ == own && !ended) {
            lines_.skip(lines_.peek());
            ended = closes_;
            if (!ended) {
                if (parts_left_ == 0) {
                    blame(made, "too many parts; the rest is left out");
                    (void)raw_body();
                    continue;
                }
                --parts_left_;
                made.parts.push_back(entity(depth + 1, default_type));
            }
        }
        stack_.pop_back();
        if (!ended) blame(made, "a multipart that does not end");
        if (made.parts.empty()) {
            blame(made, "a multipart without parts");
            as_text(made);
            lines_ = begin;
            made.body = decoded(raw_body(), coding::identity);
        } else if (ended)
            (void)raw_body(); // the epilogue
    }

    line_cutter lines_;
    limits const& most_;
    std::size_t& parts_left_;
    std::string boundary_;
    std::vector<std::string> stack_;
    std::size_t hit_ = 0; ///< whose boundary the next line is
    bool closes_ = false;
};

std::string_view find(std::vector<parameter> const& all, std::string_view name) {
    auto const found = std::ranges::find(all, name, &parameter::name);
    return found == all.end() ? std::string_view() : found->value;
}

} // namespace

std::string_view part::value(std::string_view name) const {
    for (auto const& f : fields)
        if (equal_nocase(f.name, name)) return f.value;
    return {};
}
std::string_view part::param(std::string_view name) const { return find(parameters, name); }
std::string_view part::file_name() const {
    auto const name = find(disposition_parameters, "filename");
    return name.empty() ? param("name") : name;
}

std::string text_of(part const& text) {
    auto const bytes = text.body.bytes();
    auto const charset = text.param("charset");
    auto out = detail::to_utf8(bytes, charset.empty() ? "us-ascii" : charset).value_or(bytes);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (out[i] == '\r' && i + 1 < out.size() && out[i + 1] == '\n') continue;
        out[kept++] = out[i];
    }
    out.resize(kept);
    return out;
}

part read(std::string_view message, limits const& most) {
    auto parts_left = most.parts;
    return parser(message, most, parts_left).entity(0, "text/plain");
}

} // namespace trawl::mime
