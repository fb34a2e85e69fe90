#pragma once

#include <trawl/dns.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// MTA-STS (RFC 8461): what a domain demands of its exchangers' certificates, as text.
namespace trawl::smtp::detail {

/// The id in the TXT records of _mta-sts.DOMAIN (RFC 8461 §3.1); nullopt unless exactly one of them
/// begins with "v=STSv1" and is well-formed: then the domain has no policy.
std::optional<std::string> sts_id_of(dns::answer const& found);
std::optional<std::string> sts_id_of(std::string_view record);

enum class sts_mode { enforce, testing, none };

struct sts_policy {
    sts_mode mode = sts_mode::none;
    std::vector<std::string> mx; ///< patterns: names, or "*." and a name; lower case
    std::chrono::seconds max_age{0};

    /// True for an exchanger that a pattern stands for; "*" is exactly one label (§4.1).
    bool has(std::string_view exchanger) const;
};

inline constexpr std::size_t most_policy_bytes = 65536;

/// Reads the text of a policy (RFC 8461 §3.2); nullopt if it is none. Fields of unknown names are
/// passed over, and repeated ones but for mx.
std::optional<sts_policy> read_sts_policy(std::string_view text);

} // namespace trawl::smtp::detail
