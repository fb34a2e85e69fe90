#include "mail/sts_cache.hpp"

#include "mail/route.hpp"

#include <algorithm>

namespace trawl::smtp::detail {
namespace {

constexpr std::size_t most_domains = 10'000;
/// RFC 8461 §3.3: a policy that cannot be had is not asked for again and again.
constexpr std::chrono::minutes pause{5};

std::int64_t wall_clock() {
    auto const since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

} // namespace

sts_cache::sts_cache(dns::resolver& names, https_options how, sts_place where)
    : names_(names), how_(std::move(how)), watch_(where.watch), files_(where.files) {
    if (where.folder.empty()) return;
    folder_ = std::make_shared<sts_folder>(std::move(where.folder));
    lane_ = files_->make_strand();
}

void sts_cache::complain(error const& of) const {
    if (watch_) watch_->log(severity::warning, "", of.what());
}

/// What an earlier process has learnt.
awaitable<> sts_cache::recall(entry& at, std::string domain) {
    if (!folder_ || at.recalled) co_return;
    auto const now = wall_clock();
    std::optional<kept_policy> kept;
    try {
        auto work = [folder = folder_, domain = std::move(domain), now] {
            return folder->find(domain, now);
        };
        kept = co_await files_->run(*lane_, std::move(work));
    } catch (error const& e) { // as if there were no file
        complain(e);
    }
    at.recalled = true;
    if (!kept) co_return;
    at.policy = read_sts_policy(kept->text);
    at.id = std::move(kept->id);
    // No clock that was wrong makes it hold for longer than it says.
    if (at.policy)
        at.until =
            clock::now() + std::min(std::chrono::seconds(kept->until - now), at.policy->max_age);
}

awaitable<> sts_cache::keep(std::string domain, kept_policy one) {
    if (!folder_) co_return;
    auto const now = wall_clock();
    try {
        auto work = [folder = folder_, domain = std::move(domain), one = std::move(one), now] {
            folder->keep(domain, one, now);
        };
        co_await files_->run(*lane_, std::move(work));
    } catch (error const& e) { // it is known to this process at least
        complain(e);
    }
}

awaitable<> sts_cache::refresh(entry& at, std::string domain, std::string id) {
    auto const host = "mta-sts." + domain;
    std::optional<sts_policy> found;
    kept_policy fresh;
    auto where = co_await find_host(names_, host);
    if (!where.none) {
        try {
            auto fetching =
                https_get(host, std::move(where.addresses), "/.well-known/mta-sts.txt", how_);
            fresh.text = co_await std::move(fetching);
            found = read_sts_policy(fresh.text);
        } catch (error const&) { // as if there were no policy (RFC 8461 §3.3)
        }
    }
    if (found) {
        at.until = clock::now() + found->max_age;
        fresh.until = wall_clock() + found->max_age.count();
        fresh.id = id;
        at.policy = std::move(found);
        at.id = std::move(id);
        at.failed_id.clear();
        auto keeping = keep(std::move(domain), std::move(fresh));
        co_await std::move(keeping);
    } else {
        at.failed_id = std::move(id);
        at.hold_off = clock::now() + pause;
    }
}

awaitable<std::optional<sts_policy>> sts_cache::policy_of(std::string domain) {
    if (known_.size() >= most_domains && !known_.count(domain)) {
        auto const now = clock::now();
        std::erase_if(known_, [&](auto const& one) {
            return one.second.use_count() == 1 && one.second->until <= now;
        });
        // Rather one of a domain without a policy than one that protects somebody.
        auto const idle = [](auto const& one) { return one.second.use_count() == 1; };
        auto gone = std::find_if(known_.begin(), known_.end(),
                                 [&](auto const& one) { return idle(one) && !one.second->policy; });
        if (gone == known_.end()) gone = std::find_if(known_.begin(), known_.end(), idle);
        if (known_.size() >= most_domains && gone != known_.end()) known_.erase(gone);
    }
    auto& place = known_[domain];
    if (!place) place = std::make_shared<entry>();
    auto const at = place;
    auto const guard = co_await at->turn.lock();
    co_await recall(*at, domain);

    dns::answer found;
    try {
        auto question = "_mta-sts." + domain + '.';
        found = co_await names_.look_up(std::move(question), dns::type::txt);
    } catch (error const& e) {
        if (e.code() != dns::errc::bad_name) throw;
    }
    auto const now = clock::now();
    if (at->policy && at->until <= now) at->policy.reset();
    auto id = sts_id_of(found);
    bool const known = id && at->policy && at->id == *id;
    bool const hopeless = id && at->failed_id == *id && now < at->hold_off;
    if (id && !known && !hopeless) {
        auto refreshing = refresh(*at, std::move(domain), std::move(*id));
        co_await std::move(refreshing);
    }
    co_return at->policy;
}

} // namespace trawl::smtp::detail
