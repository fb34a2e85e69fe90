#pragma once

#include <trawl/dns.hpp>

#include <asio/ip/address.hpp>

#include <string>
#include <vector>

namespace trawl::dns::detail {

struct name_server {
    asio::ip::address address;
    int port = 53;
};

/// What options and resolv.conf come to.
struct configuration {
    std::vector<name_server> servers;
    std::vector<std::string> search;
    int dots = 1; ///< that make a name absolute (resolv.conf(5), ndots)

    /// Reads resolv.conf (blocks shortly). Throws error(errc::bad_server).
    static configuration read(resolver::options const& how);
};

/// ares_library_init, once in the process.
void init_cares();

} // namespace trawl::dns::detail
