#include "mail/sts.hpp"

#include "mail/address.hpp"
#include "mail/characters.hpp"

#include <algorithm>
#include <charconv>

namespace trawl::smtp::detail {
namespace {

using mime::detail::is_alnum;
using mime::detail::lower;
using mime::detail::trimmed;

constexpr std::size_t most_patterns = 1000;
constexpr std::chrono::seconds longest_age{31'557'600}; // RFC 8461 §3.2: about a year

/// `text` up to `separator`, which is taken off with it.
std::string_view cut(std::string_view& text, char separator) {
    auto const end = std::min(text.find(separator), text.size());
    auto const piece = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return piece;
}

/// What stands before the separator of a field: RFC 8461 §3.1, sts-ext-name.
bool is_field_name(std::string_view name) {
    return !name.empty() && name.size() <= 32 && is_alnum(name.front()) &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

bool is_host(std::string_view name) {
    return name.find('.') != std::string_view::npos && name.front() != '[' &&
           mime::detail::address_fault("a@" + std::string(name)).empty();
}

bool read_age(std::string_view value, std::chrono::seconds& into) {
    std::uint64_t number = 0;
    auto const [end, failure] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (failure != std::errc() || end != value.data() + value.size() || value.size() > 10)
        return false;
    into = std::min(longest_age, std::chrono::seconds(number));
    return true;
}

/// One reader for one text: which fields it has had.
class policy_reader {
public:
    bool field(std::string_view key, std::string_view value);
    std::optional<sts_policy> finish();

private:
    sts_policy made_;
    bool version_ = false, mode_ = false, age_ = false;
};

bool policy_reader::field(std::string_view key, std::string_view value) {
    if (key == "version") {
        if (!version_ && value != "STSv1") return false;
        version_ = true;
    } else if (key == "mode" && !mode_) {
        mode_ = true;
        made_.mode = value == "enforce"   ? sts_mode::enforce
                     : value == "testing" ? sts_mode::testing
                                          : sts_mode::none;
        return value == "enforce" || value == "testing" || value == "none";
    } else if (key == "max_age" && !age_) {
        age_ = true;
        return read_age(value, made_.max_age);
    } else if (key == "mx") {
        bool const good = is_host(value.starts_with("*.") ? value.substr(2) : value);
        if (!good || made_.mx.size() == most_patterns) return false;
        made_.mx.push_back(lower(value));
    }
    return true;
}

std::optional<sts_policy> policy_reader::finish() {
    bool const whole = version_ && mode_ && age_;
    if (!whole || (made_.mx.empty() && made_.mode != sts_mode::none)) return std::nullopt;
    return std::move(made_);
}

} // namespace

std::optional<std::string> sts_id_of(std::string_view record) {
    if (trimmed(cut(record, ';')) != "v=STSv1") return std::nullopt;
    std::optional<std::string> id;
    while (!trimmed(record).empty()) {
        auto field = trimmed(cut(record, ';'));
        auto const name = cut(field, '=');
        if (!is_field_name(name) || field.empty()) return std::nullopt;
        if (name != "id" || id) continue;
        if (field.size() > 32 || !std::all_of(field.begin(), field.end(), is_alnum))
            return std::nullopt;
        id = field;
    }
    return id;
}

std::optional<std::string> sts_id_of(dns::answer const& found) {
    std::optional<std::string> id;
    std::size_t policies = 0;
    for (auto const& value : found.values) {
        auto const* const record = std::get_if<dns::txt>(&value);
        if (!record) continue;
        std::string text;
        for (auto const& part : record->strings) text += part;
        if (!text.starts_with("v=STSv1")) continue;
        if (++policies > 1) return std::nullopt;
        id = sts_id_of(text);
    }
    return id;
}

bool sts_policy::has(std::string_view exchanger) const {
    auto const name = lower(exchanger);
    return std::any_of(mx.begin(), mx.end(), [&](std::string const& pattern) {
        if (!pattern.starts_with("*.")) return pattern == name;
        auto const dot = name.find('.');
        return dot != std::string::npos && dot > 0 &&
               std::string_view(name).substr(dot) == std::string_view(pattern).substr(1);
    });
}

std::optional<sts_policy> read_sts_policy(std::string_view text) {
    if (text.size() > most_policy_bytes) return std::nullopt;
    policy_reader reader;
    while (!text.empty()) {
        auto line = cut(text, '\n');
        if (line.ends_with('\r')) line.remove_suffix(1);
        line = trimmed(line);
        if (line.empty() && trimmed(text).empty()) break; // an empty line may end it
        if (line.find(':') == std::string_view::npos) return std::nullopt;
        auto const key = cut(line, ':');
        if (!is_field_name(key) || !reader.field(key, trimmed(line))) return std::nullopt;
    }
    return reader.finish();
}

} // namespace trawl::smtp::detail
