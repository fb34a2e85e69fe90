#include "backup/verifying.hpp"

#include "backup/live.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <set>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {
constexpr std::size_t batch = 4; ///< manifests whose entries are in memory at a time
constexpr std::size_t files_of_a_job = 128;
constexpr std::size_t piece_bytes = std::size_t(1) << 20;

/// "NAME_full_20261123.tar.gz": its manifest would be "NAME_full_20261123.manifest.json".
std::string manifest_of_archive(std::string const& file) {
    for (std::string_view const suffix : {".tar.gz", ".tar.zst"})
        if (file.ends_with(suffix))
            return file.substr(0, file.size() - suffix.size()) + ".manifest.json";
    return {};
}
} // namespace

void verifying::prepare(std::stop_token const&) {
    store_ = open_archives(options_.store, options_.archives);
    options_.name = choose_name(*store_, options_.name);
    listed_ = store_->list();
    auto const latest = latest_of(options_.name);
    for (auto const& file : listed_) {
        auto const dated = parse_dated(file);
        if (file == latest || (dated && dated->name == options_.name)) waiting_.push_back(file);
    }
    if (waiting_.empty()) throw_none(*store_, options_.name);
    std::reverse(waiting_.begin(), waiting_.end());
    plan_batch();
}

void verifying::plan_batch() {
    for (; !waiting_.empty() && jobs_.size() < batch; waiting_.pop_back())
        jobs_.push_back({job::load, waiting_.back(), nullptr, {}});
}

bool verifying::advance(std::stop_token const& stop) {
    auto const mine = next_++;
    if (mine >= jobs_.size()) return false;
    auto const& now = jobs_[mine];
    switch (now.what) {
    case job::load: load_one(now.file, stop); break;
    case job::hash: hash_archive(*now.of, stop); break;
    case job::contents: read_contents(*now.of, now.part, stop); break;
    case job::consequences: follow(now.file, stop); break;
    case job::live: compare_live(now.part, stop); break;
    }
    return true;
}

bool verifying::next_phase() {
    jobs_.clear();
    next_ = 0;
    switch (phase_) {
    case phase::loading:
        phase_ = phase::reading;
        plan_reading();
        return true;
    case phase::reading:
        end_checks();
        phase_ = phase::loading;
        plan_batch();
        if (!jobs_.empty()) return true;
        phase_ = phase::rescue;
        check_parents();
        check_latest();
        plan_rescue();
        return true;
    case phase::rescue:
        phase_ = phase::rescue_reading;
        plan_reading();
        return true;
    case phase::rescue_reading:
        end_checks();
        phase_ = phase::consequences;
        find_orphans();
        plan_consequences();
        return true;
    case phase::consequences:
        phase_ = phase::live;
        plan_live();
        return true;
    case phase::live: phase_ = phase::done; return false;
    case phase::done: break;
    }
    return false;
}

void verifying::load_one(std::string const& file, std::stop_token const& stop) {
    try {
        auto found = load(*store_, file, stop);
        bool const copy = file == latest_of(options_.name);
        if (found.state.name != options_.name) return wrong(file, "belongs to " + found.state.name);
        if (!copy && found.state.self().manifest != file)
            return wrong(file, "was written as " + found.state.self().manifest);
        if (phase_ == phase::rescue) {
            for (auto const& [by, archive] : rescues_)
                for (std::size_t i = 0; i < found.state.chain.size(); ++i)
                    if (by == file && found.state.chain[i].archive == archive) add_check(found, i);
            return;
        }
        if (!copy) add_check(found, found.state.chain.size() - 1);
        known now{{}, found.hash};
        now.head = std::move(found.state);
        now.head.entries = {};
        std::lock_guard const lock(adding_);
        ++report_.manifests;
        known_.emplace(file, std::move(now));
    } catch (error const& failure) {
        if (failure.code() != errc::no_such_archive && !is_damage(failure.code())) throw;
        wrong(file, words_of(failure));
    }
}

// What the manifest says is in one archive of its chain.
void verifying::add_check(loaded& from, std::size_t index) {
    std::lock_guard const lock(adding_);
    auto& now = checks_.emplace_back();
    now.by = from.file;
    now.link = from.state.chain[index];
    now.head.algorithm = from.state.algorithm;
    for (auto const& e : from.state.entries)
        for_each_stretch(e, [&](stretch const& s) {
            if (s.archive != index) return;
            auto& here = now.entries.emplace_back(e);
            here.archive = 0;
            here.offset = s.offset;
            here.content = s.content;
            if (!e.parts.empty()) here.size = s.bytes, here.parts.clear();
        });
    archives_[now.link.archive] = true;
}

void verifying::plan_reading() {
    for (auto& now : checks_) {
        report_.files += now.entries.size();
        auto why = system_message(ENOENT);
        if (!open(now, why)) {
            wrong(now.link.archive, why);
            for (auto const& e : now.entries) lose(now, e, "the archive cannot be read: " + why);
            continue;
        }
        for (std::uint32_t i = 0; i < now.entries.size(); ++i)
            now.wishes.push_back({&now.entries[i], i});
        jobs_.push_back({job::hash, {}, &now, {}});
        for (auto const& part : arrange(now.wishes, now.archive))
            jobs_.push_back({job::contents, {}, &now, part});
        bytes_wanted_ += now.link.bytes;
    }
}

bool verifying::open(check& now, std::string& why) {
    try {
        now.archive.emplace_back(store_->read(now.link.archive), now.link);
    } catch (error const& failure) {
        if (!is_damage(failure.code())) throw;
        why = words_of(failure);
        return false;
    }
    return now.archive[0].file != nullptr;
}

// The file as a whole, headers and checksums of the compression included.
void verifying::hash_archive(check& now, std::stop_token const& stop) {
    std::string buffer(piece_bytes, '\0');
    hasher sum(hash::sha256);
    std::string why = "is not as it was written";
    try {
        std::uint64_t at = 0;
        while (auto const n = now.archive[0].file->read(at, buffer)) {
            stop_point(stop);
            sum.update(std::string_view(buffer).substr(0, n));
            at += n;
            bytes_done_ += n;
        }
    } catch (error const& failure) {
        if (!is_damage(failure.code())) throw;
        why = words_of(failure);
    }
    if (sum.finish() == now.link.archive_hash)
        now.as_written = true;
    else
        wrong(now.link.archive, why);
}

void verifying::read_contents(check& now, span part, std::stop_token const& stop) {
    content_reader reader(now.archive, 0, now.head.algorithm);
    for (auto i = part.begin; i < part.end; ++i) {
        stop_point(stop);
        auto const& e = *now.wishes[i].content;
        try {
            std::string_view bytes;
            if (!reader.whole(e, bytes)) reader.read(e, stop, [](std::string_view) {});
        } catch (std::system_error const&) {
            throw;
        } catch (std::runtime_error const& damage) {
            lose(now, e, damage.what());
        }
    }
}

void verifying::end_checks() {
    for (auto const& now : checks_) report_.archives += now.as_written;
    checks_.clear();
}

void verifying::lose(check const& now, entry const& e, std::string const& why) {
    std::lock_guard const lock(adding_);
    damage_[{now.link.archive, e.offset, e.path}] = {e.path, now.link.archive, why, {now.by}};
}

// Each increment names the manifests it stands on by their hashes.
void verifying::check_parents() {
    for (auto const& [file, found] : known_) {
        auto const& chain = found.head.chain;
        if (file == latest_of(options_.name)) continue;
        for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
            auto const parent = known_.find(chain[i].manifest);
            if (parent == known_.end())
                wrong(file, "stands on " + chain[i].manifest + ", which is missing or damaged");
            else if (parent->second.hash != chain[i].manifest_hash)
                wrong(file,
                      "stands on another " + chain[i].manifest + " than the one that is there");
        }
    }
}

// The copy is to be one of a manifest that is there.
void verifying::check_latest() {
    auto const copy = known_.find(latest_of(options_.name));
    if (copy == known_.end()) return;
    auto const& own = copy->second.head.self().manifest;
    auto const original = known_.find(own);
    if (original != known_.end()) {
        if (original->second.hash != copy->second.hash)
            wrong(copy->first, "is a copy of another " + own + " than the one that is there");
    } else if (!std::binary_search(listed_.begin(), listed_.end(), own))
        wrong(copy->first, "is a copy of " + own + ", which is missing");
}

// Archives whose own manifest is lost: the first one that stands on them knows what is in them.
void verifying::plan_rescue() {
    for (auto const& [file, found] : known_)
        for (auto const& link : found.head.chain)
            if (archives_.emplace(link.archive, true).second)
                rescues_.emplace_back(file, link.archive);
    std::set<std::string> files;
    for (auto const& [by, archive] : rescues_)
        if (files.insert(by).second) jobs_.push_back({job::load, by, nullptr, {}});
}

// A run that was killed between the two leaves an archive without a manifest, and no harm is done;
// one whose manifest is damaged has been named with it. One that is being made has its manifest by
// now.
void verifying::find_orphans() {
    for (auto const& file : listed_) {
        auto const own = manifest_of_archive(file);
        auto const dated = parse_dated(own);
        if (!dated || dated->name != options_.name || archives_.contains(file)) continue;
        if (!store_->size(own))
            report_.notes.push_back(
                {file, "has no manifest: no backup needs it; its run did not end"});
    }
}

void verifying::plan_consequences() {
    std::set<std::string> damaged;
    for (auto const& [where, lost] : damage_) damaged.insert(lost.archive);
    for (auto const& [file, found] : known_) {
        auto const& chain = found.head.chain;
        bool const needs = std::any_of(chain.begin(), chain.end(), [&](chain_link const& link) {
            return damaged.contains(link.archive);
        });
        if (needs && file != latest_of(options_.name))
            jobs_.push_back({job::consequences, file, nullptr, {}});
    }
}

// A later state has a damaged content, too, perhaps under another name.
void verifying::follow(std::string const& file, std::stop_token const& stop) {
    auto const found = load(*store_, file, stop);
    std::lock_guard const lock(adding_);
    for (auto const& e : found.state.entries)
        for_each_stretch(e, [&](stretch const& s) {
            follow(file, e, found.state.chain[s.archive].archive, s.offset);
        });
}

void verifying::follow(std::string const& file, entry const& e, std::string const& archive,
                       std::uint64_t offset) {
    auto const first = damage_.lower_bound({archive, offset, {}});
    if (first == damage_.end() || std::get<0>(first->first) != archive ||
        std::get<1>(first->first) != offset)
        return;
    damaged_file renamed{e.path, archive, first->second.why, {}};
    auto& lost = damage_.try_emplace({archive, offset, e.path}, renamed).first->second;
    if (std::find(lost.manifests.begin(), lost.manifests.end(), file) == lost.manifests.end())
        lost.manifests.push_back(file);
}

void verifying::plan_live() {
    if (!options_.live) return;
    std::vector<problem> damage; // has been named
    try {
        latest_ = newest(*store_, options_.name, std::nullopt, damage, {});
    } catch (error const& failure) {
        return wrong(options_.name, "the live tree is not looked at: " + words_of(failure));
    }
    live_ = open_folder(options_.live->string());
    auto const all = latest_.state.entries.size();
    for (std::size_t i = 0; i < all; i += files_of_a_job)
        jobs_.push_back({job::live, {}, nullptr, {i, std::min(i + files_of_a_job, all)}});
}

// A file that has the size and the time of its entry but other content: one of the two is rotten.
void verifying::compare_live(span part, std::stop_token const& stop) {
    live_hasher with(latest_.state.algorithm);
    std::uint64_t same = 0, changed = 0;
    std::vector<problem> errors;
    for (auto i = part.begin; i < part.end; ++i) {
        stop_point(stop);
        auto const& e = latest_.state.entries[i];
        if (!e.has_content() || (e.flags & (flag_stale | flag_partial)) != 0) continue;
        auto const file = open_beneath(live_.get(), e.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct stat facts {};
        bool const there = file && ::fstat(file.get(), &facts) == 0;
        if (!there && errno != ENOENT) {
            errors.push_back({e.path, system_message(errno)});
        } else if (!there || !S_ISREG(facts.st_mode) ||
                   static_cast<std::uint64_t>(facts.st_size) != e.size ||
                   nanoseconds(facts.st_mtim) != e.mtime_ns) {
            ++changed;
        } else if (auto const found = with.of(file.get(), e, e.stored != 0, stop); !found) {
            errors.push_back({e.path, system_message(errno)});
        } else if (*found == e.content) {
            ++same;
        } else
            errors.push_back({e.path, "has other content than the backup, under the same size and "
                                      "time"});
    }
    std::lock_guard const lock(adding_);
    report_.live_same += same;
    report_.live_changed += changed;
    std::move(errors.begin(), errors.end(), std::back_inserter(report_.live_errors));
}

void verifying::wrong(std::string const& what, std::string const& why) {
    std::lock_guard const lock(adding_);
    report_.errors.push_back({what, why});
}

verify_report verifying::result() && {
    report_.bytes = bytes_done_;
    for (auto& [where, lost] : damage_) {
        std::sort(lost.manifests.begin(), lost.manifests.end());
        report_.damaged.push_back(std::move(lost));
    }
    for (auto* const list : {&report_.errors, &report_.live_errors})
        std::sort(list->begin(), list->end(), [](problem const& a, problem const& b) {
            return std::tie(a.path, a.message) < std::tie(b.path, b.message);
        });
    return std::move(report_);
}

} // namespace trawl::backup::detail
