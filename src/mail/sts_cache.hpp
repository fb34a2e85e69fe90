#pragma once

#include "mail/https_get.hpp"
#include "mail/sts.hpp"

#include <trawl/async.hpp>
#include <trawl/dns.hpp>
#include <trawl/mutex.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace trawl::smtp::detail {

/// Policies of domains, kept as long as they say (RFC 8461 §3.3, §5.1).
class sts_cache {
public:
    sts_cache(dns::resolver& names, https_options how) : names_(names), how_(std::move(how)) {}

    /// The policy of `domain` (ASCII): the one that is kept while its id is what DNS says or DNS says
    /// nothing, else what its web server has. nullopt: there is none, or it cannot be had and none
    /// is kept. Throws for cancellation and when the resolver is destroyed only.
    awaitable<std::optional<sts_policy>> policy_of(std::string domain);

private:
    struct entry {
        mutex turn; ///< one fetch at a time
        std::optional<sts_policy> policy;
        std::string id;
        time_point until{};    ///< of the policy
        std::string failed_id; ///< of a policy that could not be had
        time_point hold_off{}; ///< no other attempt at that before
    };
    awaitable<> refresh(entry& at, std::string domain, std::string id);

    dns::resolver& names_;
    https_options how_;
    std::map<std::string, std::shared_ptr<entry>> known_;
};

} // namespace trawl::smtp::detail
