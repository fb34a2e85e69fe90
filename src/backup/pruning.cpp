#include "backup/pruning.hpp"

#include <algorithm>
#include <tuple>

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
    store_ = open_archives(options_.store, options_.archives);
    shown_ = store_->where();
    options_.name = choose_name(*store_, options_.name);
    if (!options_.dry_run) {
        lock_ = store_->lock("." + options_.name + ".lock");
        if (!lock_) throw error(errc::locked, "backup " + shown_ + " " + options_.name);
    }
    find();
    finish_earlier();
    decide();
}

// A manifest whose first line is damaged may stand on anything: nothing is removed then.
void pruning::find() {
    for (auto const& file : store_->list()) {
        auto const name = parse_dated(file);
        if (!name || name->name != options_.name) continue;
        std::string complaint;
        auto head = load_header(*store_, file, complaint);
        if (!head) throw error(errc::corrupt, "backup " + shown_ + "/" + file, complaint);
        auto const stem = file.substr(0, file.size() - manifest_suffix.size());
        if (head->self().manifest != file || !head->self().archive.starts_with(stem + ".tar."))
            throw error(errc::corrupt, "backup " + shown_ + "/" + file,
                        "was written as " + head->self().manifest);
        all_.push_back({file, head->self().archive, std::move(*head)});
    }
    if (all_.empty()) throw_none(*store_, options_.name);
    std::sort(all_.begin(), all_.end(), [](dated const& a, dated const& b) {
        // By name, too: whoever prunes after a kill has to come to the same order.
        auto const x = a.head.self().created_ns, y = b.head.self().created_ns;
        return std::tie(x, a.file) < std::tie(y, b.file);
    });
}

// What a prune that was killed has begun. A run may have taken the name since: then it is not ours.
void pruning::finish_earlier() {
    for (auto const& file : store_->list()) {
        if (!file.starts_with(".") || !file.ends_with(pruned_suffix)) continue;
        auto const stem = file.substr(1, file.size() - 1 - pruned_suffix.size());
        auto const name = parse_dated(stem + std::string(manifest_suffix));
        if (!name || name->name != options_.name) continue;
        bool const taken = std::any_of(all_.begin(), all_.end(), [&](dated const& d) {
            return d.file == stem + std::string(manifest_suffix);
        });
        for (auto const* suffix : {".tar.gz", ".tar.zst"})
            if (!taken && store_->size(stem + suffix))
                steps_.push_back([this, archive = stem + suffix] { remove(archive, true); });
        steps_.push_back([this, file] { remove(file, false); });
    }
}

void pruning::decide() {
    std::vector<kept_or_not> fates;
    std::string complaint;
    auto const latest = load_header(*store_, latest_of(options_.name), complaint);
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
        store_->rename(from, to); // before the archive goes
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
    auto const bytes = store_->size(file);
    store_->remove(file); // the archive before the name that says it is to go
    if (counts) report_.bytes += bytes.value_or(0);
}

} // namespace trawl::backup::detail
