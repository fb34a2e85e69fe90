#include "icmp/route.hpp"

#include <algorithm>
#include <bit>

namespace trawl::icmp::detail {
namespace {

bool is_link_local(host const& h) noexcept {
    return h.family == family::v6 && h.octets[0] == 0xfe && (h.octets[1] & 0xc0) == 0x80;
}

// Multicast, the limited broadcast and the IPv4 addresses that are reserved.
bool is_group(host const& h) noexcept {
    return h.family == family::v6 ? h.octets[0] == 0xff : h.octets[0] >= 224;
}

std::size_t common_bits(host const& a, host const& b) noexcept {
    for (std::size_t i = 0; i < a.octets.size(); ++i)
        if (auto const differ = static_cast<std::uint8_t>(a.octets[i] ^ b.octets[i]))
            return i * 8 + static_cast<std::size_t>(std::countl_zero(differ));
    return a.octets.size() * 8;
}

// The order in which the kernel would choose a source address, as far as it matters: of that
// interface, of that reach, the first choice, and nearest (RFC 6724 §5; inet_select_addr).
std::size_t fitness(route_dump::address const& a, std::uint32_t interface,
                    host const& near) noexcept {
    auto const common = common_bits(a.own, near);
    auto const nearness = near.family == family::v6 ? common : std::size_t{common >= a.length};
    return (a.interface == interface) * 4096u +
           (is_link_local(a.own) == is_link_local(near)) * 2048u + !a.second_choice * 1024u +
           nearness + 1;
}

std::optional<host> choose_source(route_dump const& dump, std::uint32_t interface,
                                  host const& near) {
    route_dump::address const* best = nullptr;
    std::size_t fittest = 0;
    for (auto const& a : dump.addresses) {
        if (a.own.family != near.family) continue;
        auto const fits = fitness(a, interface, near);
        if (fits > fittest) fittest = fits, best = &a;
    }
    if (!best) return std::nullopt;
    return best->own;
}

template <class Key>
void set_bits_from(Key& k, std::size_t bit) noexcept {
    for (; bit < k.size() * 8; ++bit) k[bit / 8] |= static_cast<std::uint8_t>(0x80u >> bit % 8);
}

// False when there is none.
template <class Key>
bool advance(Key& k) noexcept {
    for (std::size_t i = k.size(); i-- > 0;)
        if (++k[i] != 0) return true;
    return false;
}

} // namespace

std::uint32_t routes::table::find(key const& wanted) const noexcept {
    auto holds = [&](std::size_t i) {
        return pieces[i].first <= wanted &&
               (i + 1 == pieces.size() || wanted < pieces[i + 1].first);
    };
    if (!holds(last)) {
        auto const after = std::ranges::upper_bound(pieces, wanted, {}, &piece::first);
        last = static_cast<std::size_t>(after - pieces.begin()) - 1; // pieces begin at zero
    }
    return pieces[last].target;
}

// Prefixes are nested or disjoint: those that are open at some address form a stack, and the top
// of it, the longest, has the address.
routes::table routes::flatten(std::vector<prefix> all) {
    std::ranges::sort(all, [](prefix const& a, prefix const& b) {
        if (a.first != b.first) return a.first < b.first;
        if (a.last != b.last) return b.last < a.last;
        return a.metric > b.metric; // the best one comes last and covers the others
    });
    std::vector<piece> pieces{{key{}, none}};
    std::vector<prefix> open;
    auto begin = [&](key const& first, std::uint32_t target) {
        if (pieces.back().first != first) pieces.push_back({first, target});
        pieces.back().target = target;
    };
    auto close = [&] {
        auto after = open.back().last;
        open.pop_back();
        if (advance(after)) begin(after, open.empty() ? none : open.back().target);
    };
    for (std::size_t i = 0; i < all.size(); ++i) {
        while (!open.empty() && open.back().last < all[i].first) close();
        auto p = all[i];
        // Two of one metric (IPv6): the kernel chooses by what it knows of their routers.
        bool const twin = i > 0 && all[i - 1].first == p.first && all[i - 1].last == p.last &&
                          all[i - 1].metric == p.metric;
        if (twin) p.target = kernel;
        begin(p.first, p.target);
        open.push_back(p);
    }
    while (!open.empty()) close();
    table made;
    made.pieces = std::move(pieces);
    return made;
}

std::uint32_t routes::add_way(route_dump const& dump, route_dump::route const& r) {
    auto const link = std::ranges::find(dump.links, r.interface, &route_dump::link::interface);
    if (!r.usable || link == dump.links.end()) return kernel;
    auto near = r.gateway && r.gateway->family == family::v4 ? *r.gateway : r.prefix;
    if (near.family == family::v6 && r.length == 0) near.octets[0] = 0x20; // any global address
    auto const source = r.source ? r.source : choose_source(dump, r.interface, near);
    if (!source) return kernel;
    way made{.interface = r.interface, .on_link = !r.gateway, .source = *source};
    if (r.gateway) made.gateway = *r.gateway;
    made.link = link->address;
    made.mtu = r.mtu ? std::min(r.mtu, link->mtu) : link->mtu;
    made.ethernet = link->ethernet;
    ways_.push_back(made);
    return static_cast<std::uint32_t>(ways_.size() - 1);
}

// A link-local address is on the link that its scope names, whatever the routes say.
void routes::add_links(route_dump const& dump) {
    for (auto const& l : dump.links) {
        route_dump::route r{.length = 10, .usable = true, .interface = l.interface};
        r.prefix.family = family::v6;
        r.prefix.octets[0] = 0xfe, r.prefix.octets[1] = 0x80;
        auto const made = add_way(dump, r);
        if (made == kernel) continue;
        if (is_link_local(ways_[made].source))
            link_local_.push_back(made);
        else
            ways_.pop_back();
    }
}

routes::routes(route_dump const& dump) {
    std::vector<prefix> local_v4, main_v4, local_v6, main_v6;
    for (auto const& r : dump.routes) {
        bool const v4 = r.prefix.family == family::v4;
        prefix p{.first = r.prefix.octets,
                 .last = r.prefix.octets,
                 .metric = r.metric,
                 .target = kernel};
        set_bits_from(p.last, r.length);
        if (r.local) {
            (v4 ? local_v4 : local_v6).push_back(p);
        } else {
            p.target = add_way(dump, r);
            (v4 ? main_v4 : main_v6).push_back(p);
        }
    }
    if (dump.policy_v4) main_v4.clear();
    if (dump.policy_v6) main_v6.clear();
    if (!dump.policy_v6) add_links(dump);
    local_v4_ = flatten(std::move(local_v4)), main_v4_ = flatten(std::move(main_v4));
    local_v6_ = flatten(std::move(local_v6)), main_v6_ = flatten(std::move(main_v6));
}

way const* routes::lookup(host const& target) const noexcept {
    bool const v4 = target.family == family::v4;
    if (is_group(target)) return nullptr;
    if ((v4 ? local_v4_ : local_v6_).find(target.octets) != none) return nullptr;
    if (is_link_local(target)) {
        for (auto const at : link_local_)
            if (ways_[at].interface == target.scope) return &ways_[at];
        return nullptr;
    }
    auto const found = (v4 ? main_v4_ : main_v6_).find(target.octets);
    return found == none || found == kernel ? nullptr : &ways_[found];
}

} // namespace trawl::icmp::detail
