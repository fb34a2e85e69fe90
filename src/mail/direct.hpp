#pragma once

#include "mail/route.hpp"

#include <trawl/smtp.hpp>
#include <trawl/smtp_direct.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace trawl::smtp::detail {

/// Recipients that go the same way, by their number in the envelope.
struct domain_group {
    std::string domain; ///< ASCII, lower case; empty for recipients without one
    std::vector<std::size_t> recipients;
    obstacle none; ///< the domain cannot be looked up
};

/// The envelope's recipients by domain, in the order of their first.
std::vector<domain_group> by_domain(std::vector<std::string> const& recipients);

/// The answers for one message's recipients as they come in.
class tally {
public:
    explicit tally(std::vector<std::string> const& recipients);

    /// Those of `group` that have no final answer.
    std::vector<std::size_t> open(std::vector<std::size_t> const& group) const;
    void settle(std::size_t recipient, smtp::recipient answer);
    void settle(std::vector<std::size_t> const& recipients, obstacle const& why);
    std::vector<recipient> take() { return std::move(answers_); }
    std::vector<recipient> const& answers() const noexcept { return answers_; }

private:
    std::vector<recipient> answers_; ///< deferred ones are not final
};

} // namespace trawl::smtp::detail
