#include "targets/grammar.hpp"

#include <trawl/targets.hpp>

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <map>
#include <new>
#include <tuple>
#include <unordered_set>
#include <utility>

namespace trawl::targets {

using detail::address_range;
using detail::host_list;
using detail::interval;
using detail::interval_set;
using detail::item;

namespace {

constexpr std::uint32_t any_port = 0; // what an exclude without a port removes

enum class kind : std::uint8_t { v4, v6, names };

// A run of consecutive targets: addresses, or ranks of one host list.
struct piece {
    interval span;
    std::uint64_t before; // targets of the list before this piece, saturated
    std::uint32_t which;  // v6: the zone; names: the index of the host list
    kind what;
    bool has_port;
    std::uint16_t port;
};

std::uint32_t key(std::optional<std::uint16_t> port) { return port ? *port : any_port; }
std::uint32_t key(piece const& p) { return p.has_port ? p.port : any_port; }

struct space {
    kind what;
    std::uint32_t zone;
    std::uint32_t port;
    auto operator<=>(space const&) const = default;
};

std::string name_key(std::string_view name, std::uint32_t port) {
    return detail::lower(name) + ':' + std::to_string(port);
}

// Every part of `spans` that is not in `taken`.
std::vector<interval> without(std::vector<interval> const& spans, interval_set const& taken) {
    std::vector<interval> left;
    for (auto const& span : spans) {
        auto const open = taken.gaps(span);
        left.insert(left.end(), open.begin(), open.end());
    }
    return left;
}

// Only a host list with brackets can still be refused once it has been parsed.
bool may_be_refused(std::vector<item> const& items) {
    return std::any_of(items.begin(), items.end(), [](item const& entry) {
        auto const* names = std::get_if<host_list>(&entry.hosts);
        return names && !names->plain();
    });
}

// Names that were listed or excluded, with their ports.
class name_set {
public:
    void add(host_list const& hosts, std::uint32_t port) {
        if (hosts.plain())
            plain_.insert(name_key(hosts.literals.front(), port));
        else
            lists_.emplace_back(hosts, port);
    }

    // The ranks of `hosts` that the set holds with `port`; nullopt when they cannot be compared.
    std::optional<interval_set> ranks(host_list const& hosts, std::uint32_t port) const {
        interval_set known;
        if (hosts.plain()) {
            if (plain_.contains(name_key(hosts.literals.front(), port))) known.add({0, 0});
        } else {
            for (auto const& name : plain_) {
                auto const colon = name.rfind(':');
                if (name.compare(colon + 1, std::string::npos, std::to_string(port)) != 0) continue;
                if (auto rank = hosts.rank(std::string_view(name).substr(0, colon)))
                    known.add({*rank, *rank});
            }
        }
        for (auto const& [listed, its_port] : lists_) {
            if (its_port != port) continue;
            auto const common = detail::common_ranks(hosts, listed);
            if (!common) return std::nullopt;
            for (auto const& span : common->all()) known.add(span);
        }
        return known;
    }

private:
    std::unordered_set<std::string> plain_; // "name:port", lower case
    std::vector<std::pair<host_list, std::uint32_t>> lists_;
};

} // namespace

struct list::state {
    std::vector<piece> pieces;
    std::vector<host_list> hosts;
    std::map<space, interval_set> listed, excluded; // addresses
    name_set listed_names, excluded_names;
    std::uint64_t size = 0;

    // Both return false when a host list cannot be compared with the others.
    bool add(item const& entry) {
        auto const* range = std::get_if<address_range>(&entry.hosts);
        return range ? (add_range(*range, entry.port), true)
                     : add_names(std::get<host_list>(entry.hosts), entry.port);
    }
    bool exclude(item const& entry) {
        auto const* range = std::get_if<address_range>(&entry.hosts);
        return range ? (exclude_range(*range, key(entry.port)), true)
                     : exclude_names(std::get<host_list>(entry.hosts), key(entry.port));
    }

    target at(piece const& p, std::uint64_t index) const {
        target found;
        auto const number = p.span.first + (index - p.before);
        if (p.what == kind::names)
            found.name = hosts[p.which].at(static_cast<std::uint64_t>(number));
        else
            found.address = detail::address_of(p.what == kind::v6, p.which, number);
        if (p.has_port) found.port = p.port;
        return found;
    }

    void append_canonical(piece const& p, std::string& text) const {
        auto const ends = [&](auto const& first, auto const& last) {
            text += first;
            if (p.span.first != p.span.last) text.append("-").append(last);
        };
        if (p.what != kind::names) {
            // With the zone's name: its number differs from machine to machine.
            ends(detail::address_of(p.what == kind::v6, p.which, p.span.first).to_string(),
                 detail::address_of(p.what == kind::v6, p.which, p.span.last).to_string());
        } else {
            text += hosts[p.which].canonical();
            if (!hosts[p.which].plain()) {
                text += ' ';
                ends(std::to_string(static_cast<std::uint64_t>(p.span.first)),
                     std::to_string(static_cast<std::uint64_t>(p.span.last)));
            }
        }
        if (p.has_port) text.append(" :").append(std::to_string(p.port));
        text += '\n';
    }

    bool holds(std::size_t piece_index, std::uint64_t index) const {
        auto const& p = pieces[piece_index];
        return index >= p.before && index - p.before < detail::saturated_size(p.span);
    }

    std::size_t find(std::uint64_t index) const {
        auto const after = std::upper_bound(pieces.begin(), pieces.end(), index,
                                            [](auto i, piece const& p) { return i < p.before; });
        return static_cast<std::size_t>(after - pieces.begin()) - 1;
    }

private:
    void append(interval span, kind what, std::uint32_t which, std::optional<std::uint16_t> port) {
        pieces.push_back({span, size, which, what, port.has_value(), port.value_or(0)});
        size = detail::saturated_sum(size, detail::saturated_size(span));
    }

    void add_range(address_range const& range, std::optional<std::uint16_t> port) {
        auto const what = range.v6 ? kind::v6 : kind::v4;
        auto& known = listed[{what, range.scope, key(port)}];
        auto fresh = known.gaps(range.span);
        known.add(range.span);
        // An exclude without a zone or a port holds for every zone or port.
        for (auto zone : {std::uint32_t(0), range.scope})
            for (auto its_port : {any_port, key(port)})
                if (auto out = excluded.find({what, zone, its_port}); out != excluded.end())
                    fresh = without(fresh, out->second);
        for (auto const& span : fresh) append(span, what, range.scope, port);
    }

    bool add_names(host_list const& names, std::optional<std::uint16_t> port) {
        auto const known = listed_names.ranks(names, key(port));
        auto const out = excluded_names.ranks(names, any_port);
        auto const out_here = excluded_names.ranks(names, key(port));
        if (!known || !out || !out_here) return false;
        listed_names.add(names, key(port));
        auto const fresh = without(without(known->gaps({0, names.size() - 1}), *out), *out_here);
        if (fresh.empty()) return true;
        hosts.push_back(names);
        auto const which = static_cast<std::uint32_t>(hosts.size() - 1);
        for (auto const& span : fresh) append(span, kind::names, which, port);
        return true;
    }

    void exclude_range(address_range const& range, std::uint32_t port) {
        auto const what = range.v6 ? kind::v6 : kind::v4;
        excluded[{what, range.scope, port}].add(range.span);
        interval_set out;
        out.add(range.span);
        remove([&](piece const& p) -> interval_set const* {
            bool const meant = p.what == what && (range.scope == 0 || range.scope == p.which) &&
                               (port == any_port || port == key(p)) &&
                               p.span.first <= range.span.last && range.span.first <= p.span.last;
            return meant ? &out : nullptr;
        });
    }

    bool exclude_names(host_list const& names, std::uint32_t port) {
        name_set out;
        out.add(names, port);
        std::vector<interval_set> ranks;
        for (auto const& known : hosts) {
            auto in_common = out.ranks(known, port);
            if (!in_common) return false;
            ranks.push_back(std::move(*in_common));
        }
        excluded_names.add(names, port);
        remove([&](piece const& p) -> interval_set const* {
            bool const meant = p.what == kind::names && (port == any_port || port == key(p)) &&
                               !ranks[p.which].empty();
            return meant ? &ranks[p.which] : nullptr;
        });
        return true;
    }

    // Cuts out of every piece the numbers that `taken(piece)` points to.
    template <class Taken>
    void remove(Taken taken) {
        if (std::none_of(pieces.begin(), pieces.end(), taken)) return;
        auto const old = std::exchange(pieces, {});
        size = 0;
        for (auto const& p : old) {
            auto const port = p.has_port ? std::optional(p.port) : std::nullopt;
            auto const* out = taken(p);
            auto const left = out ? out->gaps(p.span) : std::vector<interval>(1, p.span);
            for (auto const& span : left) append(span, p.what, p.which, port);
        }
    }
};

std::string target::host() const { return address ? address->to_string() : name; }

std::string target::to_string() const {
    if (!port) return host();
    bool const bracketed = address && address->is_v6();
    return (bracketed ? "[" + host() + "]" : host()) + ":" + std::to_string(*port);
}

std::shared_ptr<list::state> list::writable(bool anew) const {
    if (!state_) return std::make_shared<state>();
    if (anew || state_.use_count() > 1) return std::make_shared<state>(*state_);
    std::atomic_thread_fence(std::memory_order_acquire); // after a copy on another thread let go
    return state_;
}

list& list::add(std::string_view text, origin from) {
    auto const items = detail::parse_items(text, from);
    auto changed = writable(items.size() > 1 && may_be_refused(items));
    for (auto const& entry : items)
        if (!changed->add(entry)) detail::fail_overlap(from, text, entry);
    state_ = std::move(changed);
    return *this;
}

list& list::exclude(std::string_view text, origin from) {
    auto const items = detail::parse_items(text, from);
    auto changed = writable(items.size() > 1 && may_be_refused(items));
    for (auto const& entry : items)
        if (!changed->exclude(entry)) detail::fail_overlap(from, text, entry);
    state_ = std::move(changed);
    return *this;
}

std::uint64_t list::size() const noexcept { return state_ ? state_->size : 0; }

bool list::has_names() const noexcept {
    return state_ && std::any_of(state_->pieces.begin(), state_->pieces.end(),
                                 [](piece const& p) { return p.what == kind::names; });
}

bool list::has_ports() const noexcept {
    return state_ && std::any_of(state_->pieces.begin(), state_->pieces.end(),
                                 [](piece const& p) { return p.has_port; });
}

target list::at(std::uint64_t index) const {
    assert(index < size());
    return state_->at(state_->pieces[state_->find(index)], index);
}

std::string list::canonical_text() const {
    std::string text;
    if (!state_) return text;
    auto const continues = [](piece const& p, piece const& next) {
        return p.what == next.what && p.which == next.which && key(p) == key(next) &&
               next.span.first != 0 && p.span.last == next.span.first - 1;
    };
    auto const& pieces = state_->pieces;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        auto whole = pieces[i];
        while (i + 1 < pieces.size() && continues(whole, pieces[i + 1]))
            whole.span.last = pieces[++i].span.last;
        state_->append_canonical(whole, text);
    }
    return text;
}

std::uint64_t list::fingerprint() const {
    auto const text = canonical_text();
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    if (!EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr))
        throw std::bad_alloc(); // SHA-256 cannot fail otherwise
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8 | digest[i];
    return number;
}

list parse(std::string_view text) {
    list targets;
    targets.add(text);
    return targets;
}

cursor::cursor(list const& targets, order how)
    : state_(targets.state_), part_(how.part), position_(how.from),
      size_(how.part.size(targets.size())) {
    assert(part_.index < part_.count);
    if (how.seed && !targets.empty()) shuffled_.emplace(targets.size(), *how.seed);
}

std::optional<target> cursor::next() {
    if (position_ >= size_) return std::nullopt;
    auto const place = index(position_++);
    if (!state_->holds(piece_, place)) piece_ = state_->find(place);
    return state_->at(state_->pieces[piece_], place);
}

std::uint64_t cursor::index(std::uint64_t position) const noexcept {
    auto const place = part_.at(position);
    return shuffled_ ? (*shuffled_)(place) : place;
}

} // namespace trawl::targets
