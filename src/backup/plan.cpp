#include "backup/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace trawl::backup::detail {

namespace {

bool same_facts(entry const& a, entry const& b) {
    return a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns &&
           a.inode == b.inode && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid;
}

/// Shorter ones are stored whole: an archive more to be opened costs more than it saves.
constexpr std::uint64_t least_prefix = std::uint64_t(64) << 10;

/// The same file with more in it, as far as stat(2) tells.
bool has_grown(entry const& now, entry const& before) {
    return now.size > before.size && now.inode == before.inode && before.size >= least_prefix &&
           before.stored == 0 && before.parts.size() < most_parts;
}

action judge(entry const& now, entry const& before, std::int64_t walk_began_ns) {
    if (!now.has_content()) {
        bool const same = now.type == before.type && now.hard_link == before.hard_link &&
                          now.link == before.link && now.device == before.device &&
                          same_facts(now, before);
        return same ? action::keep : action::describe;
    }
    if (!before.has_content() || now.size != before.size) return action::store;
    return is_trusted(now, before, walk_began_ns) ? action::keep : action::check;
}

class comparison {
public:
    comparison(walked now, manifest const* base, rehash again, bool append_delta)
        : now_(std::move(now)), base_(base), again_(again), append_delta_(append_delta) {}

    plan run() {
        std::size_t old = 0;
        auto const old_size = base_ ? base_->entries.size() : 0;
        result_.entries = std::move(now_.entries);
        result_.steps.reserve(result_.entries.size());
        for (auto& e : result_.entries) {
            while (old < old_size && path_before(base_->entries[old].path, e.path)) missing(old++);
            if (old < old_size && base_->entries[old].path == e.path)
                both(e, old++);
            else
                add(e, {action::store, not_in_base});
        }
        while (old < old_size) missing(old++);
        if (!unseen_.empty()) take_in_unseen();
        return std::move(result_);
    }

private:
    void add(entry const& e, step s) {
        if (!e.has_content() && s.what == action::store) s.what = action::describe;
        if (s.what != action::keep && s.what != action::describe) result_.bytes_to_read += e.size;
        result_.steps.push_back(s);
    }

    void both(entry& now, std::size_t at) {
        auto const& before = base_->entries[at];
        auto what = judge(now, before, base_->started_ns);
        if (what == action::store && append_delta_ && has_grown(now, before)) what = action::append;
        auto const index = static_cast<std::uint32_t>(at);
        if (what != action::keep) return add(now, {what, index});
        // All else has been found to be the same.
        take_content(now, before);
        now.attributes = before.attributes;
        now.flags = before.flags;
        bool const look = before.has_content() && again_.takes(before.path);
        add(now, {look ? action::verify : what, index});
    }

    // In the base, not in the walk: deleted, unless the walk could not see it.
    void missing(std::size_t at) {
        auto const index = static_cast<std::uint32_t>(at);
        (is_unseen(base_->entries[at].path, now_.unread) ? unseen_ : result_.gone).push_back(index);
    }

    // They are as they were, between what the walk has found.
    void take_in_unseen() {
        std::vector<entry> entries;
        std::vector<step> steps;
        entries.reserve(result_.entries.size() + unseen_.size());
        steps.reserve(entries.capacity());
        auto next = unseen_.begin();
        auto const take_before = [&](std::string const* path) {
            for (; next != unseen_.end(); ++next) {
                auto const& before = base_->entries[*next];
                if (path && !path_before(before.path, *path)) return;
                entries.push_back(before);
                entries.back().flags |= flag_stale;
                steps.push_back({action::keep, *next});
            }
        };
        for (std::size_t i = 0; i < result_.entries.size(); ++i) {
            take_before(&result_.entries[i].path);
            entries.push_back(std::move(result_.entries[i]));
            steps.push_back(result_.steps[i]);
        }
        take_before(nullptr);
        result_.entries = std::move(entries);
        result_.steps = std::move(steps);
    }

    walked now_;
    manifest const* base_;
    rehash again_;
    bool append_delta_;
    std::vector<std::uint32_t> unseen_; ///< of the base's entries, by index
    plan result_;
};

entry const* find(std::vector<entry> const& entries, std::vector<bool> const& dropped,
                  std::string_view path) {
    auto const at = place_of(entries, path);
    if (at == entries.end() || at->path != path) return nullptr;
    return dropped[static_cast<std::size_t>(at - entries.begin())] ? nullptr : &*at;
}

} // namespace

bool rehash::takes(std::string_view path) const noexcept {
    if (parts < 2) return parts == 1;
    std::uint32_t sum = 2166136261u; // FNV-1a: the same on every machine and in every version
    for (char const c : path) sum = (sum ^ static_cast<unsigned char>(c)) * 16777619u;
    return sum % parts == part - 1;
}

bool is_unseen(std::string_view path, std::vector<std::string> const& unread) {
    for (;;) {
        if (std::binary_search(unread.begin(), unread.end(), path)) return true;
        if (path.empty()) return false;
        path = parent_of(path);
    }
}

bool is_trusted(entry const& now, entry const& before, std::int64_t walk_began_ns) noexcept {
    constexpr std::int64_t two_seconds = 2'000'000'000;
    auto const racy_from = walk_began_ns - two_seconds;
    bool const racy = now.mtime_ns >= racy_from || now.ctime_ns >= racy_from;
    return same_facts(now, before) && !racy;
}

rehash rehash::on(std::chrono::sys_days day) const noexcept {
    if (part != 0 || parts == 0) return *this;
    auto const turn = day.time_since_epoch().count() % static_cast<std::int64_t>(parts);
    return {static_cast<std::uint32_t>(turn) + 1, parts};
}

plan compare(walked now, manifest const* base, rehash again, bool append_delta) {
    return comparison(std::move(now), base, again, append_delta).run();
}

void settle(plan& state, std::vector<bool> dropped, std::vector<problem>& because) {
    auto& entries = state.entries;
    assert(entries.size() == dropped.size() && entries.size() == state.steps.size());
    for (std::size_t i = 0; i < entries.size(); ++i) { // sorted: folders and leaders come first
        auto const& e = entries[i];
        if (dropped[i] || e.path.empty()) continue;
        auto const is_folder = [&](std::string_view path) {
            auto const* found = find(entries, dropped, path);
            return found && found->type == file_type::folder;
        };
        auto const* leader = e.hard_link ? find(entries, dropped, e.link) : nullptr;
        auto const folder = parent_of(e.path);
        bool const beside = i > 0 && !dropped[i - 1] && !entries[i - 1].path.empty() &&
                            parent_of(entries[i - 1].path) == folder;
        bool const stands =
            (beside || is_folder(folder)) && (!e.hard_link || (leader && leader->has_content()));
        if (stands) continue;
        dropped[i] = true;
        because.push_back({e.path, "left out: its folder or the file it is a link to is gone"});
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (dropped[i]) continue;
        if (kept != i) entries[kept] = std::move(entries[i]), state.steps[kept] = state.steps[i];
        ++kept;
    }
    entries.resize(kept);
    state.steps.resize(kept);
}

std::vector<std::string> deletions(std::vector<entry> const& entries, manifest const& base) {
    std::vector<std::string> gone;
    auto now = entries.begin();
    for (auto const& before : base.entries) {
        while (now != entries.end() && path_before(now->path, before.path)) ++now;
        if (now == entries.end() || now->path != before.path) gone.push_back(before.path);
    }
    return gone;
}

namespace {

std::string day_text(std::chrono::sys_days day) {
    static constexpr std::array<char const*, 7> names{"Sun", "Mon", "Tue", "Wed",
                                                      "Thu", "Fri", "Sat"};
    std::chrono::year_month_day const date(day);
    return fmt::format("{} {:04}-{:02}-{:02}", names[std::chrono::weekday(day).c_encoding()],
                       static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()));
}

/// Why a full is due; empty: it is not.
std::string full_is_due(options const& rules, std::chrono::sys_days today, past const& known) {
    if (known.full_day > today)
        return "the last full is of " + day_text(known.full_day) + ", which is still to come";
    if (rules.full_on) {
        // The last such day up to today; weekdays differ by 0 to 6 days.
        auto const due = today - (std::chrono::weekday(today) - *rules.full_on);
        if (known.full_day < due) return "the full of " + day_text(due);
    }
    if (rules.full_every.count() > 0 && today - known.full_day >= rules.full_every)
        return fmt::format("the last full is {} days old", (today - known.full_day).count());
    if (rules.full_after > 0 && known.later >= rules.full_after)
        return fmt::format("{} backups on the last full", known.later);
    // By division: 100 times a size would not fit.
    if (rules.full_over_percent > 0 &&
        static_cast<double>(known.later_bytes) >
            static_cast<double>(known.full_bytes) / 100 * rules.full_over_percent)
        return fmt::format("{} bytes of backups on a full of {}", known.later_bytes,
                           known.full_bytes);
    return {};
}

} // namespace

std::optional<decision> decide(options const& rules, std::chrono::sys_days today,
                               std::optional<past> const& known) {
    if (rules.what == kind::full) return decision{kind::full, "asked for"};
    if (rules.what != kind::automatic) {
        if (!known) return std::nullopt;
        return decision{rules.what, "asked for"};
    }
    if (!known) return decision{kind::full, "there is no base"};
    if (auto why = full_is_due(rules, today, *known); !why.empty())
        return decision{kind::full, std::move(why)};
    return decision{rules.between, "the last full is of " + day_text(known->full_day)};
}

} // namespace trawl::backup::detail
