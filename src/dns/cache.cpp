#include "dns/cache.hpp"

#include "dns/message.hpp"

namespace trawl::dns::detail {

namespace {

std::string key_of(std::string const& name, type wanted) {
    auto key = canonical(name);
    key += '\0'; // which no name has
    return key += to_string(wanted);
}

} // namespace

std::optional<answer> cache::find(std::string const& name, type wanted, time_point now) {
    auto const found = by_key_.find(key_of(name, wanted));
    if (found == by_key_.end()) return std::nullopt;
    auto const at = found->second;
    if (at->until <= now) return drop(at), std::nullopt;
    entries_.splice(entries_.begin(), entries_, at);
    auto known = at->known;
    known.ttl = std::chrono::ceil<std::chrono::seconds>(at->until - now);
    return known;
}

void cache::put(std::string const& name, type wanted, answer const& found, time_point now) {
    bool const whole = found.status == status::answered || found.status == status::no_data ||
                       found.status == status::no_such_name;
    if (most_ == 0 || !whole || found.ttl.count() == 0) return;
    auto key = key_of(name, wanted);
    if (auto const old = by_key_.find(key); old != by_key_.end()) drop(old->second);
    if (entries_.size() >= most_) drop(std::prev(entries_.end()));
    entries_.push_front({key, found, now + found.ttl});
    by_key_.emplace(std::move(key), entries_.begin());
}

void cache::drop(place which) {
    by_key_.erase(which->key);
    entries_.erase(which);
}

} // namespace trawl::dns::detail
