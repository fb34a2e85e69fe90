#include "backup/plan.hpp"

#include <algorithm>
#include <cassert>

namespace trawl::backup::detail {

namespace {

bool same_facts(entry const& a, entry const& b) {
    return a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns &&
           a.inode == b.inode && a.mode == b.mode && a.uid == b.uid && a.gid == b.gid;
}

action judge(entry const& now, entry const& before, std::int64_t racy_from) {
    if (!now.has_content()) {
        bool const same = now.type == before.type && now.hard_link == before.hard_link &&
                          now.link == before.link && now.device == before.device &&
                          same_facts(now, before);
        return same ? action::keep : action::describe;
    }
    if (!before.has_content() || now.size != before.size) return action::store;
    bool const racy = now.mtime_ns >= racy_from || now.ctime_ns >= racy_from;
    return same_facts(now, before) && !racy ? action::keep : action::check;
}

class comparison {
public:
    comparison(walked now, manifest const* base) : now_(std::move(now)), base_(base) {}

    plan run() {
        std::size_t old = 0;
        auto const old_size = base_ ? base_->entries.size() : 0;
        result_.entries.reserve(now_.entries.size());
        result_.steps.reserve(now_.entries.size());
        for (auto& e : now_.entries) {
            while (old < old_size && path_before(base_->entries[old].path, e.path)) missing(old++);
            if (old < old_size && base_->entries[old].path == e.path)
                both(std::move(e), old++);
            else
                add(std::move(e), {action::store, not_in_base});
        }
        while (old < old_size) missing(old++);
        return std::move(result_);
    }

private:
    void add(entry e, step s) {
        if (!e.has_content() && (s.what == action::store || s.what == action::check))
            s.what = action::describe;
        if (s.what == action::store || s.what == action::check) result_.bytes_to_read += e.size;
        result_.entries.push_back(std::move(e));
        result_.steps.push_back(s);
    }

    void both(entry now, std::size_t at) {
        constexpr std::int64_t two_seconds = 2'000'000'000;
        auto const& before = base_->entries[at];
        auto const what = judge(now, before, base_->started_ns - two_seconds);
        auto const index = static_cast<std::uint32_t>(at);
        if (what == action::keep) return add(before, {what, index});
        add(std::move(now), {what, index});
    }

    // In the base, not in the walk: deleted, unless the walk could not see it.
    void missing(std::size_t at) {
        auto const& before = base_->entries[at];
        if (!unseen(before.path)) return;
        auto kept = before;
        kept.flags |= flag_stale;
        add(std::move(kept), {action::keep, static_cast<std::uint32_t>(at)});
    }

    bool unseen(std::string_view path) const {
        for (;;) { // the path itself and each folder above it
            if (std::binary_search(now_.unread.begin(), now_.unread.end(), path)) return true;
            if (path.empty()) return false;
            path = parent_of(path);
        }
    }

    walked now_;
    manifest const* base_;
    plan result_;
};

entry const* find(std::vector<entry> const& entries, std::vector<bool> const& dropped,
                  std::string_view path) {
    auto const at = place_of(entries, path);
    if (at == entries.end() || at->path != path) return nullptr;
    return dropped[static_cast<std::size_t>(at - entries.begin())] ? nullptr : &*at;
}

} // namespace

plan compare(walked now, manifest const* base) { return comparison(std::move(now), base).run(); }

void settle(plan& state, std::vector<bool> dropped, std::vector<problem>& because) {
    auto& entries = state.entries;
    assert(entries.size() == dropped.size() && entries.size() == state.steps.size());
    for (std::size_t i = 0; i < entries.size(); ++i) { // sorted: folders and leaders come first
        auto const& e = entries[i];
        if (dropped[i] || e.path.empty()) continue;
        auto const* folder = find(entries, dropped, parent_of(e.path));
        auto const* leader = e.hard_link ? find(entries, dropped, e.link) : nullptr;
        bool const stands = folder && folder->type == file_type::folder &&
                            (!e.hard_link || (leader && leader->has_content()));
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

std::optional<kind> decide(kind asked, std::chrono::weekday full_on, std::chrono::sys_days today,
                           std::optional<std::chrono::sys_days> last_full) {
    if (asked == kind::full) return kind::full;
    if (asked == kind::incremental)
        return last_full ? std::optional(kind::incremental) : std::nullopt;
    bool const missed = last_full && today - *last_full >= std::chrono::days(7);
    if (!last_full || missed || std::chrono::weekday(today) == full_on) return kind::full;
    return kind::incremental;
}

} // namespace trawl::backup::detail
