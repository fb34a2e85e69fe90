#include "cli/rate.hpp"

#include "cli/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trawl::cli {

double echoes_a_second(std::string_view text, std::uint16_t payload) {
    auto const refuse = [&] {
        return usage_error(fmt::format(
            "--rate {}: want a number of echoes (5000, 10kpps) or bits (2Mbit) a second", text));
    };
    double value = 0;
    auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || !(value >= 0 && value <= 1e12)) throw refuse();
    std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
    for (auto const& [letter, factor] : {std::pair('k', 1e3), {'M', 1e6}, {'G', 1e9}})
        if (unit.starts_with(letter)) {
            value *= factor;
            unit.remove_prefix(1);
            break;
        }
    if (unit.empty() || unit == "pps" || unit == "/s") return value;
    if (unit != "bit" && unit != "bit/s" && unit != "bps") throw refuse();
    constexpr std::size_t framing = 38, least = 84, ip_and_echo = 28;
    return value / 8 / static_cast<double>(std::max(least, framing + ip_and_echo + payload));
}

} // namespace trawl::cli
