#pragma once

#include <trawl/dns.hpp>

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

namespace trawl::dns::detail {

/// Answers while they hold (RFC 1035 §7.4), the negative ones too (RFC 2308 §5). When it is full the
/// one that was used least recently gives way.
class cache {
public:
    explicit cache(std::size_t most) : most_(most) {}

    /// With what is left of its ttl.
    std::optional<answer> find(std::string const& name, type wanted, time_point now);
    void put(std::string const& name, type wanted, answer const& found, time_point now);

    std::size_t size() const noexcept { return entries_.size(); }

private:
    struct entry {
        std::string key;
        answer known;
        time_point until;
    };
    using place = std::list<entry>::iterator;
    void drop(place which);

    std::size_t most_;
    std::list<entry> entries_; // used last first
    std::unordered_map<std::string, place> by_key_;
};

} // namespace trawl::dns::detail
