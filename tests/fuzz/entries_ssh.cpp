#include "parts.hpp"

#include "ssh/known_hosts.hpp"
#include "ssh/sftp_packets.hpp"
#include "ssh/socks.hpp"

#include <trawl/ssh_config.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace trawl::fuzz {

using namespace std::string_view_literals;

// ---- known_hosts ----

void run_known_hosts(std::string_view input) {
    using namespace ssh::detail;
    while (!input.empty()) {
        known_entry found;
        if (parse_line(cut(input, '\n'), found) != line_kind::entry) continue;
        for (auto const name : {"server.example"sv, "[10.0.0.7]:2222"sv, ""sv})
            (void)found.applies_to(name);
        require(found.hashed.has_value() == found.patterns.empty(), "neither a hash nor a name");
        (void)found.plain();
        known_entry again;
        require(parse_line(format_line("h", found.key), again) == line_kind::entry &&
                    again.key.type == found.key.type && again.key.blob == found.key.blob,
                "a key does not survive being written");
    }
}

// ---- ssh_config ----

/// Every Include finds the input again, so that nesting has to end.
void run_ssh_config(std::string_view input) {
    ssh::config all({"me", "/home/me"});
    std::size_t left = 20; // each may include more than one
    auto const find = [&](std::string const&) {
        std::vector<ssh::config::file> found;
        if (left > 0) --left, found.push_back({"again", std::string(input)});
        return found;
    };
    all.parse({"config", std::string(input)}, find);
    for (auto const* host : {"a", "web1", "x.example"}) {
        auto const named = all.lookup(host);
        require(named.port != 0, "a port that is none");
        require(!named.host_name || !named.host_name->empty(), "an empty host name");
        require(all.lookup(host, "root").user == "root", "a user that was named is not taken");
    }
}

// ---- SFTP ----

namespace {

std::vector<std::string> packets_of(std::string_view stream, std::size_t step, bool& whole) {
    sftp::detail::packet_stream cutter;
    std::vector<std::string> found;
    auto const keep = [&](std::string packet) { found.push_back(std::move(packet)); };
    whole = true;
    for (; whole && !stream.empty(); stream.remove_prefix(std::min(step, stream.size())))
        whole = cutter.feed(stream.substr(0, step), keep);
    return found;
}

void look_at_reply(std::string packet) {
    using namespace sftp::detail;
    auto const size = packet.size();
    auto const found = parse_reply(std::move(packet));
    if (!found) return;
    auto const data = parse_data(*found);
    require(!data || data->size() + 9 <= size, "data beyond its packet");
    auto const handle = parse_handle(*found);
    require(!handle || handle->size() <= 256, "a handle that is too long");
    auto const names = parse_names(*found);
    require(!names || names->size() * 12 + 9 <= size, "more names than bytes for them");
    auto const attributes = parse_attributes(*found);
    (void)parse_file_system(*found), (void)parse_limits(*found);
    require(data.has_value() + handle.has_value() + names.has_value() + attributes.has_value() +
                    parse_status(*found).has_value() <=
                1,
            "one reply has two meanings");
    if (!attributes) return;
    packet_writer again(packet::attrs, found->id);
    again.attrs(*attributes);
    auto const read = parse_reply(again.take().substr(4));
    require(read && parse_attributes(*read) == attributes,
            "attributes do not survive being written");
}

} // namespace

/// The input is what a server sends: its version and then replies.
void run_sftp(std::string_view input) {
    bool good = false, same = false;
    auto const packets = packets_of(input, input.size(), good);
    for (std::size_t const step : {1, 7}) {
        auto const again = packets_of(input, step, same);
        require(packets == again && good == same, "packets depend on how the stream is cut");
    }
    for (auto const& packet : packets) {
        (void)sftp::detail::parse_version(packet);
        look_at_reply(packet);
    }
}

// ---- SOCKS ----

/// The input is what a client of -D sends.
void run_socks(std::string_view input) {
    using ssh::detail::socks_request;
    socks_request whole, bytewise;
    std::string replies, again;
    std::size_t used = 0, taken = 0;
    while (whole.at() == socks_request::stage::reading && used < input.size()) {
        auto const piece = input.substr(used, whole.wanted());
        require(!piece.empty() && whole.wanted() <= 300, "it wants nothing, or too much");
        replies += whole.take(piece), used += piece.size();
    }
    while (bytewise.at() == socks_request::stage::reading && taken < input.size())
        again += bytewise.take(input.substr(taken++, 1));
    require(whole.at() == bytewise.at() && replies == again && used == taken &&
                whole.host() == bytewise.host() && whole.port() == bytewise.port(),
            "a request depends on how the stream is cut");
    if (whole.at() != socks_request::stage::complete) return;
    require(!whole.host().empty() && whole.host().size() <= 255 &&
                whole.host().find('\0') == std::string::npos,
            "a host that cannot be one");
    auto const size = whole.answer(socks_request::outcome::granted).size();
    require(size == (input.front() == 4 ? 8u : 10u), "an answer of another version");
}

} // namespace trawl::fuzz
