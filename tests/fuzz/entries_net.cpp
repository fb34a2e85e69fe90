#include "parts.hpp"

#include "dns/message.hpp"
#include "icmp/packet.hpp"

#include <trawl/error.hpp>
#include <trawl/targets.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace trawl::fuzz {

// ---- ICMP ----

namespace {

using icmp::detail::family;

void look_at_message(family f, icmp::detail::bytes message) {
    using icmp::detail::kind;
    auto const found = icmp::detail::parse(f, message);
    require(found.kind == kind::malformed || message.size() >= icmp::detail::echo_header,
            "a message shorter than its header was taken for one");
    require(!found.proof || message.size() >= icmp::detail::echo_size,
            "a proof was read from bytes that are not there");
    require(!found.destination || found.destination->family == f,
            "an error quotes a destination of the other family");
    require(found.kind != kind::reply || message[0] == (f == family::v4 ? 0 : 129),
            "something else was taken for an echo reply");
}

/// First as it is, then with a checksum that agrees: few mutations would get past it otherwise.
void look_at_both(family f, std::vector<std::uint8_t> message) {
    look_at_message(f, message);
    if (message.size() < icmp::detail::echo_header) return;
    message[2] = message[3] = 0;
    auto const sum = icmp::detail::checksum(message);
    message[2] = static_cast<std::uint8_t>(sum >> 8);
    message[3] = static_cast<std::uint8_t>(sum & 0xff);
    look_at_message(f, message);
}

} // namespace

/// The input is a packet with its IPv4 header, an ICMP message, or what an error queue quotes.
void run_icmp(std::string_view input) {
    std::vector<std::uint8_t> const all(input.begin(), input.end());
    look_at_both(family::v4, all);
    look_at_both(family::v6, all);
    if (auto const packet = icmp::detail::parse_ipv4(all)) {
        require(packet->payload.size() + 20 <= all.size(), "a payload beyond its packet");
        look_at_both(family::v4, {packet->payload.begin(), packet->payload.end()});
    }
    for (auto const type : std::array<std::uint8_t, 6>{1, 2, 3, 4, 11, 12})
        for (auto const f : {family::v4, family::v6}) {
            auto const found = icmp::detail::parse_quoted(f, type, 0, all);
            require(!found.proof || all.size() >= icmp::detail::echo_size,
                    "a proof was read from bytes that are not there");
        }
}

// ---- targets ----

namespace {

/// What was accepted has a size, can be walked, and each target reads back as itself.
void look_at_list(targets::list const& list) {
    auto const size = list.size();
    require(list.empty() == (size == 0), "an empty list with targets in it");
    if (size == 0) return;
    targets::cursor walk(list);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(size, 8); ++i) {
        auto const next = walk.next();
        require(next && *next == list.at(i), "the cursor and at() differ");
        auto const again = targets::parse(next->to_string());
        require(again.size() == 1 && again.at(0) == *next, "a target does not read back as itself");
    }
    if (size < ~std::uint64_t{0}) (void)list.at(size - 1).to_string();
}

} // namespace

/// Up to '!' added, what follows excluded.
void run_targets(std::string_view input) {
    auto const added = cut(input, '!');
    targets::list list;
    try {
        list.add(added);
    } catch (error const& e) {
        require(e.code() == errc::bad_target, "not refused as a bad target");
        require(list.empty(), "a refused text changed the list");
        return;
    }
    look_at_list(list);
    auto const before = list.size();
    try {
        list.exclude(input);
    } catch (error const& e) {
        require(e.code() == errc::bad_target, "not refused as a bad target");
        require(list.size() == before, "a refused text changed the list");
        return;
    }
    require(list.size() <= before, "an exclusion added targets");
    look_at_list(list);
}

// ---- DNS ----

namespace {

void look_at_answer(dns::detail::bytes packet, std::string_view name, dns::type wanted) {
    auto const found = dns::detail::parse_answer(packet, name, wanted);
    require(found.values.empty() == (found.status != dns::status::answered),
            "records without an answer, or an answer without records");
    require((found.status == dns::status::server_failure) == static_cast<bool>(found.why),
            "a failure without a reason");
    require(found.ttl.count() >= 0 && found.ttl <= std::chrono::hours(24 * 7), "a ttl of ages");
    // A record takes 11 bytes of the packet at least, and a name at most four times 255.
    require(found.values.size() * 11 <= packet.size(), "more records than there is room for");
    for (auto const& one : found.values)
        require(dns::to_string(one).size() <= 4 * (packet.size() + 2 * 255) + 100,
                "a record of more bytes than there are");
}

} // namespace

void run_dns(std::string_view input) {
    using dns::type;
    std::vector<unsigned char> const all(input.begin(), input.end());
    for (auto const wanted : {type::a, type::ns, type::cname, type::soa, type::ptr, type::mx,
                              type::txt, type::aaaa, type::srv, type::tlsa, type::caa})
        look_at_answer(all, "web.example", wanted);
    (void)dns::detail::rcode_of(all);
    if (!dns::detail::is_name(input)) return;
    std::vector<unsigned char> query;
    dns::detail::append_query(query, 1, input, type::a, true);
    require(query.size() <= 12 + 255 + 4 + 11, "a question that is too long");
    auto const echoed = dns::detail::parse_answer(query, input, type::a);
    require(echoed.status == dns::status::no_data, "a question that cannot be read");
}

} // namespace trawl::fuzz
