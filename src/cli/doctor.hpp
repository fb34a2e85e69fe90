#pragma once

#include <trawl/dns.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

// What `trawl doctor` looks at, apart from the verb so that tests can show it a machine of their
// own.
namespace trawl::cli::doctor {

/// One thing looked at. `repair` is a command for a shell: for a problem what ends it, otherwise
/// what would be better still; it may be empty.
struct finding {
    std::string name;
    bool ok = true;
    std::string detail, repair;
};

/// May this process send echo requests? `raw`: 0, or the errno of opening a raw ICMP socket;
/// `groups`: the text of net.ipv4.ping_group_range; `member`: the process's groups; `program`: for
/// setcap. One of the two ways is enough.
std::vector<finding> pinging(int raw, std::string_view groups, std::vector<unsigned> const& member,
                             std::string const& program);

/// Can it hold a connection to each of a thousand hosts? Descriptors; the command raises its soft
/// limit to the hard one.
finding descriptors(std::uint64_t hard);

/// Does a name server answer? It is asked for a name that cannot exist (RFC 6761 §6.4), so that "no
/// such name" is the answer hoped for.
awaitable<finding> name_servers(dns::resolver::options where);

/// Is the clock kept by somebody? `synchronised` and `off_by` (seconds at most) from adjtimex(2);
/// `now` in seconds since 1970.
finding clock(bool synchronised, double off_by, std::int64_t now);

/// Private keys of a ~/.ssh folder: readable by their owner alone, as ssh demands.
finding keys(std::filesystem::path const& folder);

/// The known_hosts file of a ~/.ssh folder: readable, and nobody else can write to it.
finding known_hosts(std::filesystem::path const& folder);

} // namespace trawl::cli::doctor
