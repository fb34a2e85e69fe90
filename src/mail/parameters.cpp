#include "mail/header_fields.hpp"

#include "mail/characters.hpp"
#include "mail/charset.hpp"
#include "mail/decoding.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace trawl::mime::detail {
namespace {

constexpr std::size_t most_parameters = 500; // nobody writes more; a list has a price for each

/// What one parameter's sections say (RFC 2231 §3, §4).
struct sections {
    struct piece {
        std::string text;
        bool percent = false; ///< "name*0*": escaped
    };
    std::optional<std::string> plain; ///< name=value
    std::map<unsigned, piece> pieces;
};

/// Reads `; name=value ...` from left to right, comments left out.
class reader {
public:
    explicit reader(std::string_view text) : text_(text) {}

    /// Up to the next ';' outside quotes and comments, which is taken off.
    std::string head() {
        std::string out;
        while (at_ < text_.size() && text_[at_] != ';')
            if (text_[at_] == '(')
                comment();
            else
                out += text_[at_++];
        skip();
        return std::string(trimmed(out));
    }
    bool at_end() const { return at_ >= text_.size(); }

    std::string name() {
        blanks();
        auto const begin = at_;
        while (at_ < text_.size() && text_[at_] != '=' && text_[at_] != ';') ++at_;
        return lower(trimmed(text_.substr(begin, at_ - begin)));
    }
    /// Behind the name; nullopt when there is none. Also takes the ';' behind it off.
    std::optional<std::string> value() {
        if (at_end() || text_[at_] != '=') return skip(), std::nullopt;
        ++at_;
        blanks();
        std::string out;
        if (at_ < text_.size() && text_[at_] == '"') {
            out = quoted();
            while (at_ < text_.size() && text_[at_] != ';') ++at_;
        } else { // many do not quote `name=my file.txt`
            auto const begin = at_;
            while (at_ < text_.size() && text_[at_] != ';') ++at_;
            out = trimmed(text_.substr(begin, at_ - begin));
            if (auto const comment = out.find(" (");
                comment != std::string::npos && out.ends_with(')'))
                out.resize(comment);
        }
        skip();
        return out;
    }

private:
    void skip() { at_ = std::min(at_ + 1, text_.size()); }
    void blanks() {
        while (at_ < text_.size() && (is_blank(text_[at_]) || text_[at_] == '('))
            if (text_[at_] == '(')
                comment();
            else
                ++at_;
    }
    void comment() { at_ = std::min(comment_end(text_, at_), text_.size()); }
    std::string quoted() {
        std::string out;
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
            out += text_[at_];
        }
        skip();
        return out;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt,
                   low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
        if (text[i] == '%' && high && low)
            out += static_cast<char>(*high << 4 | *low), i += 2;
        else
            out += text[i];
    }
    return out;
}

std::string joined(sections const& s) {
    if (!s.pieces.contains(0)) return decoded_text(s.plain.value_or(""));
    std::string bytes, charset;
    unsigned wanted = 0;
    for (auto const& [number, piece] : s.pieces) {
        if (number != wanted++) break; // one got lost: what follows would be at a wrong place
        std::string_view text = piece.text;
        if (number == 0 && piece.percent) { // charset'language'text
            auto const first = text.find('\''), second = text.find('\'', first + 1);
            if (first != std::string_view::npos && second != std::string_view::npos) {
                charset = text.substr(0, first);
                text.remove_prefix(second + 1);
            }
        }
        bytes += piece.percent ? percent_decoded(text) : std::string(text);
    }
    auto text = charset.empty() ? std::nullopt : to_utf8(bytes, charset);
    auto out = text ? std::move(*text) : as_utf8(bytes);
    for (char& c : out)
        if (c == '\r' || c == '\n' || c == '\0') c = ' ';
    return out;
}

/// Takes name, name*, name*N and name*N* apart.
void keep(std::map<std::string, sections>& all, std::string_view name, std::string value) {
    auto const star = name.find('*');
    auto& known = all[std::string(name.substr(0, star))];
    if (star == std::string_view::npos) {
        if (!known.plain) known.plain = std::move(value);
        return;
    }
    auto number_text = name.substr(star + 1);
    bool const percent = number_text.empty() || number_text.ends_with('*');
    if (number_text.ends_with('*')) number_text.remove_suffix(1);
    unsigned number = 0;
    auto const* const end = number_text.data() + number_text.size();
    auto const [rest, failure] = std::from_chars(number_text.data(), end, number);
    if (!number_text.empty() && (failure != std::errc() || rest != end)) return;
    known.pieces.try_emplace(number, sections::piece{std::move(value), percent});
}

} // namespace

parametrized read_parameters(std::string_view unfolded_value) {
    reader rest(unfolded_value);
    parametrized found;
    found.value = lower(rest.head());
    std::map<std::string, sections> all;
    std::vector<std::string> order;
    for (std::size_t n = 0; !rest.at_end() && n < most_parameters; ++n) {
        auto const name = rest.name();
        auto value = rest.value();
        auto base = name.substr(0, name.find('*'));
        if (!value || !is_token(base, "!#$&+-.^_`{|}~")) continue;
        if (!all.contains(base)) order.push_back(base);
        keep(all, name, std::move(*value));
    }
    for (auto& name : order)
        if (auto const& said = all[name]; said.plain || !said.pieces.empty())
            found.parameters.push_back({std::move(name), joined(said)});
    return found;
}

} // namespace trawl::mime::detail
