#include <trawl/backup.hpp>

#include "backup/hash.hpp"
#include "backup/repository.hpp"
#include "backup/selection.hpp"
#include "backup/steps.hpp"

#include <algorithm>
#include <cerrno>
#include <tuple>

namespace trawl::backup {

namespace {

using namespace detail;

constexpr std::size_t entries_in_a_slice = 512;

std::chrono::system_clock::time_point time_of(std::int64_t ns) {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(ns)));
}

archive_info look_at(store& from, std::string const& file, dated_name const& dated) {
    archive_info found;
    found.name = dated.name;
    found.made = dated.made;
    found.manifest = from.shown(file);
    std::string complaint;
    auto const head = load_header(from, file, complaint);
    if (!head) {
        found.damage = complaint;
        return found;
    }
    auto const& self = head->self();
    found.created = time_of(self.created_ns);
    found.archive = from.shown(self.archive);
    found.bytes = self.bytes;
    if (head->chain.size() > 1) found.stands_on = head->chain[head->chain.size() - 2].manifest;
    auto const bytes = from.size(self.archive);
    if (!bytes)
        found.damage = self.archive + ": " + system_message(ENOENT);
    else if (*bytes != self.bytes)
        found.damage = self.archive + " has " + std::to_string(*bytes) + " bytes, not " +
                       std::to_string(self.bytes);
    return found;
}

std::vector<archive_info> look_at_all(list_options const& o, std::stop_token const& stop) {
    auto const archives = open_archives(o.store, o.archives);
    if (!o.name.empty()) choose_name(*archives, o.name); // is it one?
    std::vector<archive_info> all;
    for (auto const& file : archives->list()) {
        stop_point(stop);
        auto const dated = parse_dated(file);
        if (dated && (o.name.empty() || dated->name == o.name))
            all.push_back(look_at(*archives, file, *dated));
    }
    if (all.empty()) throw_none(*archives, o.name);
    std::sort(all.begin(), all.end(), [](archive_info const& a, archive_info const& b) {
        return std::tie(a.name, a.created, a.manifest) < std::tie(b.name, b.created, b.manifest);
    });
    return all;
}

/// One state and what was chosen of it.
class listing {
public:
    explicit listing(entries_options o) : options_(std::move(o)) {}

    void prepare(std::stop_token const& stop) {
        auto const archives = open_archives(options_.store, options_.archives);
        options_.name = choose_name(*archives, options_.name);
        from_ = newest(*archives, options_.name, since_1970(options_.at), errors_, stop);
        chosen_ = select(from_.state, options_.paths);
        for (auto const& path : chosen_.unknown) errors_.push_back({path, "is not in this backup"});
    }
    /// Empty at the end.
    std::vector<entry_info> slice() {
        std::vector<entry_info> found;
        auto const& entries = from_.state.entries;
        for (; next_ < entries.size() && found.size() < entries_in_a_slice; ++next_)
            if (chosen_.choices[next_] == choice::yes) found.push_back(info(entries[next_]));
        return found;
    }
    std::vector<problem> errors() && { return std::move(errors_); }

private:
    entry_info info(entry const& e) const {
        entry_info i;
        i.path = e.path;
        i.type = static_cast<char>(e.type);
        i.mode = e.mode;
        i.uid = e.uid;
        i.gid = e.gid;
        i.size = e.size;
        i.mtime_ns = e.mtime_ns;
        i.link = e.link;
        i.hard_link = e.hard_link;
        if (e.content) i.hash = hex(e.content);
        if (e.archive != no_archive) i.archive = from_.state.chain[e.archive].archive;
        for (auto const& part : e.parts) i.parts.push_back(from_.state.chain[part.archive].archive);
        i.unsettled = e.flags & flag_unsettled;
        i.stale = e.flags & flag_stale;
        i.partial = e.flags & flag_partial;
        return i;
    }

    entries_options options_;
    loaded from_;
    selection chosen_;
    std::vector<problem> errors_;
    std::size_t next_ = 0;
};

} // namespace

awaitable<std::vector<archive_info>> list(offload_pool& cpu, list_options configuration) {
    auto look = [&configuration](std::stop_token stop) { return look_at_all(configuration, stop); };
    co_return co_await cpu.run(look);
}

awaitable<std::vector<problem>> entries(offload_pool& cpu, entries_options configuration,
                                        std::function<void(entry_info const&)> each) {
    std::vector<problem> errors;
    auto work = std::make_unique<listing>(std::move(configuration));
    auto body = [&](listing& all) -> awaitable<> {
        auto prepare = [&all](std::stop_token stop) { all.prepare(stop); };
        co_await cpu.run(prepare);
        auto slice = [&all] { return all.slice(); };
        for (;;) {
            auto const found = co_await cpu.run(slice);
            if (found.empty()) break;
            for (auto const& e : found) each(e);
        }
        errors = std::move(all).errors();
    };
    co_await detail::with_work(cpu, work, body);
    co_return errors;
}

} // namespace trawl::backup
