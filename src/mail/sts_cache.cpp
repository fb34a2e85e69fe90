#include "mail/sts_cache.hpp"

#include "mail/route.hpp"

#include <algorithm>

namespace trawl::smtp::detail {
namespace {

constexpr std::size_t most_domains = 10'000;
/// RFC 8461 §3.3: a policy that cannot be had is not asked for again and again.
constexpr std::chrono::minutes pause{5};

} // namespace

awaitable<> sts_cache::refresh(entry& at, std::string domain, std::string id) {
    auto const host = "mta-sts." + domain;
    std::optional<sts_policy> found;
    auto where = co_await find_host(names_, host);
    if (!where.none) {
        try {
            auto fetching =
                https_get(host, std::move(where.addresses), "/.well-known/mta-sts.txt", how_);
            auto const text = co_await std::move(fetching);
            found = read_sts_policy(text);
        } catch (error const&) { // as if there were no policy (RFC 8461 §3.3)
        }
    }
    if (found) {
        at.until = clock::now() + found->max_age;
        at.policy = std::move(found);
        at.id = std::move(id);
        at.failed_id.clear();
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
