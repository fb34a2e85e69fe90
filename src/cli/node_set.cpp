#include "cli/node_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace trawl::cli {
namespace {

constexpr std::size_t most_digits = 18; // of a number that fits 64 bits
constexpr std::string_view digits = "0123456789";

/// "rack2-node07.example" as "rack2-node" + 07 + ".example".
struct numbered_name {
    std::string prefix, number, suffix;
};

bool is_ipv4(std::string_view name) {
    return name.find_first_not_of("0123456789.:") == name.npos &&
           std::ranges::count(name, '.') == 3;
}

/// By the last number of an IPv4 address; of a name by the last one of its first label.
std::optional<numbered_name> split(std::string const& name) {
    if (name.starts_with('[') || std::ranges::count(name, ':') > 1) return {}; // IPv6
    auto const label = is_ipv4(name) ? name.find(':') : name.find_first_of(".:");
    auto const last = name.find_last_of(digits, label == name.npos ? label : label - 1);
    if (label == 0 || last == name.npos) return {};
    auto const before = name.find_last_not_of(digits, last);
    auto const first = before == name.npos ? 0 : before + 1;
    if (last + 1 - first > most_digits) return {};
    return numbered_name{name.substr(0, first), name.substr(first, last + 1 - first),
                         name.substr(last + 1)};
}

/// Numbers of names that differ in nothing else. Width 0: as they are; else padded with zeros.
struct family {
    std::string prefix, suffix, lone; // lone: a name without a number
    std::map<std::size_t, std::vector<std::uint64_t>> by_width;
};

class folder {
public:
    void add(std::string const& name) {
        auto const parts = split(name);
        auto const key = parts ? std::pair(parts->prefix, parts->suffix) : std::pair(name, name);
        auto const [place, fresh] = index_.try_emplace(key, families_.size());
        if (fresh)
            families_.push_back(parts ? family{parts->prefix, parts->suffix, {}, {}}
                                      : family{{}, {}, name, {}});
        if (!parts) return;
        bool const padded = parts->number.size() > 1 && parts->number[0] == '0';
        families_[place->second].by_width[padded ? parts->number.size() : 0].push_back(
            std::stoull(parts->number));
    }

    std::string text() {
        std::string out;
        for (auto& one : families_) {
            join_widths(one);
            if (!one.lone.empty()) append(out, one.lone);
            for (auto& [width, numbers] : one.by_width)
                if (!numbers.empty()) write(out, one, width, numbers);
        }
        return out;
    }

private:
    static void append(std::string& out, std::string_view piece) {
        if (!out.empty()) out += ',';
        out += piece;
    }

    /// n08 n09 n10: 10 has no zero in front but belongs to them.
    static void join_widths(family& one) {
        auto const plain = one.by_width.find(0);
        if (plain == one.by_width.end()) return;
        for (auto& [width, numbers] : one.by_width) {
            if (width == 0) continue;
            auto const as_wide = [w = width](std::uint64_t n) {
                return std::to_string(n).size() == w;
            };
            std::ranges::copy_if(plain->second, std::back_inserter(numbers), as_wide);
            std::erase_if(plain->second, as_wide);
        }
    }

    /// "1-3" and so on, of sorted numbers.
    static std::vector<std::string> ranges(std::vector<std::uint64_t> const& numbers,
                                           std::size_t width) {
        std::vector<std::string> out;
        for (std::size_t first = 0, last = 0; first < numbers.size(); first = ++last) {
            while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
            auto text = fmt::format("{:0{}}", numbers[first], width);
            if (last > first) text += fmt::format("-{:0{}}", numbers[last], width);
            out.push_back(std::move(text));
        }
        return out;
    }

    static void write(std::string& out, family const& one, std::size_t width,
                      std::vector<std::uint64_t>& numbers) {
        std::ranges::sort(numbers);
        numbers.erase(std::ranges::unique(numbers).begin(), numbers.end());
        auto const all = ranges(numbers, width);
        // The grammar has no brackets for addresses: each range is a target of its own.
        if (is_ipv4(one.prefix + "0" + one.suffix)) {
            for (auto const& range : all) append(out, one.prefix + range + one.suffix);
        } else if (numbers.size() == 1) {
            append(out, one.prefix + all[0] + one.suffix);
        } else {
            append(out, fmt::format("{}[{}]{}", one.prefix, fmt::join(all, ","), one.suffix));
        }
    }

    std::map<std::pair<std::string, std::string>, std::size_t> index_;
    std::vector<family> families_;
};

} // namespace

std::string fold_names(std::vector<std::string> const& names) {
    folder all;
    for (auto const& name : names) all.add(name);
    return all.text();
}

} // namespace trawl::cli
