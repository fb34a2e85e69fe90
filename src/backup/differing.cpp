#include "backup/differing.hpp"

#include "backup/plan.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>

namespace trawl::backup::detail {

namespace {
constexpr std::size_t changes_in_a_slice = 512, files_of_a_job = 64;
} // namespace

std::string differences(entry const& before, entry const& now, bool same_hash) {
    std::string all;
    auto const note = [&](bool differs, char const* what) {
        if (differs) all += (all.empty() ? "" : ", ") + std::string(what);
    };
    if (before.type != now.type) return "type";
    note(before.size != now.size, "size");
    if (before.has_content() && now.has_content()) {
        // Hashes of two kinds say nothing: then it is the mtime that tells.
        bool const other =
            same_hash ? before.content != now.content : before.mtime_ns != now.mtime_ns;
        note(before.size != now.size || other, "content");
    }
    note(before.link != now.link || before.hard_link != now.hard_link, "link");
    note(before.device != now.device, "device");
    note(before.mode != now.mode, "mode");
    note(before.uid != now.uid || before.gid != now.gid, "owner");
    note(before.mtime_ns != now.mtime_ns, "mtime");
    note(before.attributes != now.attributes, "attributes");
    return all;
}

void differing::prepare(std::stop_token const& stop) {
    auto const archives = open_archives(options_.store, options_.archives);
    options_.name = choose_name(*archives, options_.name);
    auto const state_at = [&](auto const& at) {
        return newest(*archives, options_.name, since_1970(at), report_.errors, stop);
    };
    from_ = state_at(options_.from);
    report_.from = from_.state.self().manifest;
    if (options_.to) {
        to_ = state_at(options_.to);
        report_.to = to_.state.self().manifest;
        same_hash_ = from_.state.algorithm == to_.state.algorithm;
    } else {
        auto const root = options_.live.empty() ? from_.state.root : options_.live.string();
        root_ = open_folder(root);
        auto const rules = rules_of(options_, archives->folder());
        walker all(root_.get(), rules);
        all.work(stop);
        auto found = all.result();
        to_.state.entries = std::move(found.entries);
        to_.state.root = from_.state.root;
        unread_ = std::move(found.unread);
        report_.errors.insert(report_.errors.end(), found.errors.begin(), found.errors.end());
        plan_looks();
    }
    choose();
}

// Chosen is what one of the two states has.
void differing::choose() {
    auto in_from = select(from_.state, options_.paths);
    auto in_to = select(to_.state, options_.paths);
    chosen_from_ = std::move(in_from.choices);
    chosen_to_ = std::move(in_to.choices);
    for (auto const& path : in_from.unknown)
        if (std::find(in_to.unknown.begin(), in_to.unknown.end(), path) != in_to.unknown.end())
            report_.errors.push_back({path, "is in neither state"});
}

// What is trusted to be as it was has its content; the others are to be looked at.
void differing::plan_looks() {
    auto const& old = from_.state.entries;
    auto& live = to_.state.entries;
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < live.size(); ++i) {
        while (at < old.size() && path_before(old[at].path, live[i].path)) ++at;
        if (at == old.size() || old[at].path != live[i].path) continue;
        if (!options_.rehash && is_trusted(live[i], old[at], from_.state.started_ns)) {
            live[i].content = old[at].content;
            live[i].attributes = old[at].attributes;
            continue;
        }
        auto const type = live[i].type;
        if (type != file_type::regular && type != file_type::folder) continue;
        looks_.emplace_back(i, static_cast<std::uint32_t>(at));
        if (live[i].size == old[at].size) bytes_wanted_ += live[i].size;
    }
}

bool differing::advance(std::stop_token const& stop) {
    auto const begin = next_.fetch_add(files_of_a_job);
    if (begin >= looks_.size()) return false;
    live_hasher with(from_.state.algorithm);
    for (auto i = begin; i < std::min(begin + files_of_a_job, looks_.size()); ++i) {
        stop_point(stop);
        look_at_live(to_.state.entries[looks_[i].first], from_.state.entries[looks_[i].second],
                     with, stop);
    }
    bytes_done_ += with.bytes();
    return true;
}

void differing::look_at_live(entry& now, entry const& before, live_hasher& with,
                             std::stop_token const& stop) {
    bool const folder = now.type == file_type::folder;
    auto const file = open_beneath(root_.get(), now.path,
                                   O_RDONLY | O_NONBLOCK | O_NOCTTY | (folder ? O_DIRECTORY : 0));
    bool read = static_cast<bool>(file);
    if (read && !now.hard_link) now.attributes = attributes_of(file.get());
    if (read && now.has_content() && before.has_content() && now.size == before.size) {
        auto const found = with.of(file.get(), now, before.stored != 0, stop);
        read = found.has_value();
        if (found) now.content = *found;
    }
    if (read) return;
    auto const number = errno;
    now.content = before.content; // nothing is known of a change
    now.attributes = before.attributes;
    std::lock_guard const lock(adding_);
    report_.errors.push_back({now.path, system_message(number)});
}

std::vector<change> differing::slice() {
    std::vector<change> found;
    while (found.size() < changes_in_a_slice && compare_next(found)) {
    }
    return found;
}

bool differing::compare_next(std::vector<change>& into) {
    auto const& old = from_.state.entries;
    auto const& live = to_.state.entries;
    bool const any_old = before_ < old.size(), any_live = now_ < live.size();
    if (!any_old && !any_live) return false;
    auto const add = [&](change::kind what, entry const& e, std::string facts) {
        auto const at = static_cast<std::size_t>(what);
        ++*std::array{&report_.added, &report_.removed, &report_.changed, &report_.metadata}[at];
        into.push_back({what, e.path, static_cast<char>(e.type), std::move(facts)});
    };
    if (any_live && (!any_old || path_before(live[now_].path, old[before_].path))) {
        if (chosen_to_[now_] == choice::yes) add(change::added, live[now_], {});
        ++now_;
    } else if (any_old && (!any_live || path_before(old[before_].path, live[now_].path))) {
        if (chosen_from_[before_] == choice::yes && !is_unseen(old[before_].path, unread_))
            add(change::removed, old[before_], {});
        ++before_;
    } else {
        auto const& e = live[now_];
        if (chosen_to_[now_] == choice::yes) {
            auto facts = differences(old[before_], e, same_hash_);
            bool const content = facts.starts_with("type") || facts.starts_with("size") ||
                                 facts.starts_with("content") || facts.starts_with("link") ||
                                 facts.starts_with("device");
            if (!facts.empty())
                add(content ? change::changed : change::metadata, e, std::move(facts));
        }
        ++now_, ++before_;
    }
    return true;
}

diff_report differing::result() && {
    std::stable_sort(report_.errors.begin(), report_.errors.end(),
                     [](problem const& a, problem const& b) { return a.path < b.path; });
    return std::move(report_);
}

} // namespace trawl::backup::detail
