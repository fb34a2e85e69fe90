#include "backup/pruning.hpp"

#include <algorithm>
#include <cerrno>
#include <tuple>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view pruned_suffix = ".pruned", manifest_suffix = ".manifest.json";

std::string pruned_of(std::string const& stem) { return "." + stem + std::string(pruned_suffix); }

std::chrono::sys_days day_of(manifest const& head) {
    return local_day(std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::nanoseconds(head.self().created_ns))));
}

} // namespace

void pruning::prepare(std::stop_token const&) {
    auto const& rules = options_.rules;
    if (rules.keep_last + rules.keep_daily + rules.keep_weekly + rules.keep_monthly == 0)
        throw error(errc::bad_option, "backup prune", "no rule says what to keep");
    shown_ = options_.archives.string();
    folder_ = open_archives(shown_);
    options_.name = choose_name(folder_.get(), shown_, options_.name);
    if (!options_.dry_run) {
        lock_ = file_lock::try_acquire(options_.archives / ("." + options_.name + ".lock"));
        if (!lock_) throw error(errc::locked, "backup " + shown_ + " " + options_.name);
    }
    find();
    finish_earlier();
    decide();
}

// A manifest whose first line is damaged may stand on anything: nothing is removed then.
void pruning::find() {
    for (auto const& file : list(folder_.get())) {
        auto const name = parse_dated(file);
        if (!name || name->name != options_.name) continue;
        std::string complaint;
        auto head = load_header(folder_.get(), file, complaint);
        if (!head) throw error(errc::corrupt, "backup " + shown_ + "/" + file, complaint);
        auto const stem = file.substr(0, file.size() - manifest_suffix.size());
        if (head->self().manifest != file || !head->self().archive.starts_with(stem + ".tar."))
            throw error(errc::corrupt, "backup " + shown_ + "/" + file,
                        "was written as " + head->self().manifest);
        all_.push_back({file, head->self().archive, std::move(*head)});
    }
    if (all_.empty()) throw error(errc::no_such_archive, "backup " + shown_ + " " + options_.name);
    std::sort(all_.begin(), all_.end(), [](dated const& a, dated const& b) {
        // By name, too: whoever prunes after a kill has to come to the same order.
        auto const x = a.head.self().created_ns, y = b.head.self().created_ns;
        return std::tie(x, a.file) < std::tie(y, b.file);
    });
}

// What a prune that was killed has begun. A run may have taken the name since: then it is not ours.
void pruning::finish_earlier() {
    for (auto const& file : list(folder_.get())) {
        if (!file.starts_with(".") || !file.ends_with(pruned_suffix)) continue;
        auto const stem = file.substr(1, file.size() - 1 - pruned_suffix.size());
        auto const name = parse_dated(stem + std::string(manifest_suffix));
        if (!name || name->name != options_.name) continue;
        bool const taken = std::any_of(all_.begin(), all_.end(), [&](dated const& d) {
            return d.file == stem + std::string(manifest_suffix);
        });
        for (auto const* suffix : {".tar.gz", ".tar.zst"})
            if (!taken &&
                ::faccessat(folder_.get(), (stem + suffix).c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                steps_.push_back([this, archive = stem + suffix] { remove(archive, true); });
        steps_.push_back([this, file] { remove(file, false); });
    }
}

void pruning::decide() {
    std::vector<kept_or_not> fates;
    std::string complaint;
    auto const latest = load_header(folder_.get(), latest_of(options_.name), complaint);
    for (auto const& each : all_) {
        kept_or_not fate{day_of(each.head), {}, {}};
        auto const& chain = each.head.chain;
        for (std::size_t i = 0; i < fates.size(); ++i)
            if (std::any_of(chain.begin(), chain.end(),
                            [&](chain_link const& link) { return link.manifest == all_[i].file; }))
                fate.bases.push_back(i);
        // A run that was killed may have left the copy behind the newest.
        if (latest && latest->self().manifest == each.file) fate.why = "the latest";
        fates.push_back(std::move(fate));
    }
    retain(fates, options_.rules);
    for (std::size_t i = all_.size(); i-- > 0;) {
        if (fates[i].why.empty())
            plan_removal(all_[i]);
        else
            report_.kept.push_back({all_[i].file, fates[i].why});
    }
    std::reverse(report_.kept.begin(), report_.kept.end());
}

void pruning::plan_removal(dated const& old) {
    report_.removed.push_back(old.archive);
    auto const stem = old.file.substr(0, old.file.size() - manifest_suffix.size());
    bytes_wanted_ += old.head.self().bytes;
    steps_.push_back([this, from = old.file, to = pruned_of(stem)] {
        if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) != 0)
            fail(errno, "rename " + shown_ + "/" + from);
        sync(); // before the archive goes
    });
    steps_.push_back([this, archive = old.archive] { remove(archive, true); });
    steps_.push_back([this, file = pruned_of(stem)] { remove(file, false); });
}

bool pruning::advance(std::stop_token const& stop) {
    stop_point(stop);
    if (options_.dry_run) steps_.clear();
    if (steps_.empty()) return false;
    steps_.front()();
    steps_.pop_front();
    return true;
}

// Gone already is as good.
void pruning::remove(std::string const& file, bool counts) {
    struct stat facts {};
    bool const there = ::fstatat(folder_.get(), file.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0;
    if (::unlinkat(folder_.get(), file.c_str(), 0) != 0 && errno != ENOENT)
        fail(errno, "remove " + shown_ + "/" + file);
    if (there && counts) report_.bytes += static_cast<std::uint64_t>(facts.st_size);
    sync(); // the archive before the name that says it is to go
}

void pruning::sync() const {
    if (::fsync(folder_.get()) != 0) fail(errno, "fsync " + shown_);
}

} // namespace trawl::backup::detail
