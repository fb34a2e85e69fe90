#include "backup/selection.hpp"

#include <algorithm>

#include <fnmatch.h>

namespace trawl::backup::detail {

std::string relative_to(std::string_view root, std::string path) {
    if (path.starts_with('/') && is_within(path, root)) path.erase(0, root.size());
    while (path.starts_with('/') || path.starts_with("./"))
        path.erase(0, path.front() == '/' ? 1 : 2);
    while (path.ends_with('/')) path.pop_back();
    return path == "." ? std::string() : path;
}

namespace {

std::string_view take_component(std::string_view& path) {
    auto const slash = path.find('/');
    auto const first = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    return first;
}

bool is_pattern(std::string_view path) {
    return path.find_first_of("*?[") != std::string_view::npos;
}

} // namespace

bool matches(std::string_view pattern, std::string_view path) {
    // As with one star for whole components: where the last "**" stood, and what it has taken.
    std::string_view retry_pattern, retry_path;
    bool can_retry = false;
    while (!path.empty() || !pattern.empty()) {
        auto rest = pattern;
        auto const part = take_component(rest);
        if (!pattern.empty() && part == "**") {
            pattern = retry_pattern = rest;
            retry_path = path;
            can_retry = true;
            continue;
        }
        auto beyond = path;
        auto const name = take_component(beyond);
        if (!pattern.empty() && !path.empty() &&
            ::fnmatch(std::string(part).c_str(), std::string(name).c_str(), 0) == 0) {
            pattern = rest;
            path = beyond;
            continue;
        }
        if (!can_retry || retry_path.empty()) return false;
        take_component(retry_path);
        path = retry_path;
        pattern = retry_pattern;
    }
    return true;
}

namespace {

/// The entry at `at` with all beneath.
void choose(std::vector<entry> const& entries, std::size_t at, std::vector<choice>& into) {
    auto const& folder = entries[at].path;
    for (; at < entries.size() && is_within(entries[at].path, folder); ++at) into[at] = choice::yes;
}

void mark_ancestors(manifest const& state, std::vector<choice>& choices) {
    for (std::size_t i = 0; i < choices.size(); ++i) {
        if (choices[i] != choice::yes) continue;
        for (auto path = std::string_view(state.entries[i].path); !path.empty();) {
            path = parent_of(path);
            auto const at = static_cast<std::size_t>(state.find(path) - state.entries.data());
            if (choices[at] != choice::no) break; // and so are those above
            choices[at] = choice::ancestor;
        }
    }
}

} // namespace

selection select(manifest const& state, std::vector<std::string> const& paths) {
    selection made;
    auto const& entries = state.entries;
    made.choices.assign(entries.size(), paths.empty() ? choice::yes : choice::no);
    for (auto const& asked : paths) {
        auto const path = relative_to(state.root, asked);
        if (auto const* found = state.find(path)) {
            choose(entries, static_cast<std::size_t>(found - entries.data()), made.choices);
            continue;
        }
        bool any = false;
        for (std::size_t i = 0; is_pattern(path) && i < entries.size(); ++i)
            if (matches(path, entries[i].path)) choose(entries, i, made.choices), any = true;
        if (!any) made.unknown.push_back(asked);
    }
    if (!paths.empty()) mark_ancestors(state, made.choices);
    return made;
}

} // namespace trawl::backup::detail
