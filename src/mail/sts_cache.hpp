#pragma once

#include "mail/https_get.hpp"
#include "mail/sts.hpp"
#include "mail/sts_files.hpp"

#include <trawl/async.hpp>
#include <trawl/dns.hpp>
#include <trawl/mutex.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>

namespace trawl::smtp::detail {

/// Where policies are kept between runs.
struct sts_place {
    std::filesystem::path folder;  ///< empty: nowhere
    offload_pool* files = nullptr; ///< not owned
    observer* watch = nullptr;     ///< hears of files that are of no use; not owned
};

/// Policies of domains, kept as long as they say (RFC 8461 §3.3, §5.1).
class sts_cache {
public:
    /// Makes the folder when missing (blocks shortly). Throws error.
    sts_cache(dns::resolver& names, https_options how, sts_place where);

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
        bool recalled = false; ///< its file has been looked at
    };
    awaitable<> refresh(entry& at, std::string domain, std::string id);
    awaitable<> recall(entry& at, std::string domain);
    awaitable<> keep(std::string domain, kept_policy one);
    void complain(error const& of) const;

    dns::resolver& names_;
    https_options how_;
    observer* watch_;
    offload_pool* files_;
    std::shared_ptr<sts_folder> folder_; ///< null: there is none
    std::optional<offload_pool::strand> lane_;
    std::map<std::string, std::shared_ptr<entry>> known_;
};

} // namespace trawl::smtp::detail
