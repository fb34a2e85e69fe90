#include "backup/retention.hpp"

namespace trawl::backup::detail {

namespace {

using std::chrono::sys_days;

/// The Monday of its week (ISO 8601).
sys_days week_of(sys_days day) { return day - (std::chrono::weekday(day) - std::chrono::Monday); }

sys_days month_of(sys_days day) {
    std::chrono::year_month_day const date(day);
    return sys_days(date.year() / date.month() / 1);
}

/// Keeps the newest backup of each of the last `count` periods that have one.
template <class Period>
void keep(std::vector<kept_or_not>& all, std::uint32_t count, char const* why, Period period) {
    sys_days last{};
    bool first = true;
    for (auto b = all.rbegin(); b != all.rend() && count > 0; ++b) {
        auto const now = period(b->day);
        if (!first && now == last) continue;
        first = false;
        last = now;
        --count;
        if (b->why.empty()) b->why = why;
    }
}

} // namespace

void retain(std::vector<kept_or_not>& all, prune_rules const& rules) {
    if (all.empty()) return;
    all.back().why = "the newest";
    auto left = rules.keep_last;
    for (auto b = all.rbegin(); b != all.rend() && left > 0; ++b, --left)
        if (b->why.empty()) b->why = "one of the last";
    keep(all, rules.keep_daily, "daily", [](sys_days day) { return day; });
    keep(all, rules.keep_weekly, "weekly", week_of);
    keep(all, rules.keep_monthly, "monthly", month_of);
    for (auto b = all.rbegin(); b != all.rend(); ++b) // what stands on something is newer than that
        if (!b->why.empty())
            for (auto const base : b->bases)
                if (all[base].why.empty()) all[base].why = "a later one stands on it";
}

} // namespace trawl::backup::detail
