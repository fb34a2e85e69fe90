#include "dns/configuration.hpp"

#include <trawl/error.hpp>

#include <ares.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>

namespace trawl::dns::detail {

namespace {

name_server parse_server(std::string const& text) {
    auto const fail = [&] { throw error(errc::bad_server, "name server \"" + text + "\""); };
    std::string host = text, port;
    if (text.starts_with('[')) {
        auto const close = text.find(']');
        if (close == std::string::npos) fail();
        host = text.substr(1, close - 1);
        auto const rest = text.substr(close + 1);
        if (!rest.empty() && (rest[0] != ':' || rest.size() == 1)) fail();
        if (!rest.empty()) port = rest.substr(1);
    } else if (auto const colon = text.find(':');
               colon != std::string::npos && colon == text.rfind(':')) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        if (port.empty()) fail();
    }
    std::error_code failure;
    name_server found{asio::ip::make_address(host, failure)};
    if (failure || host.find('\0') != std::string::npos) fail();
    if (!port.empty()) {
        auto const end = port.data() + port.size();
        auto const [stop, bad] = std::from_chars(port.data(), end, found.port);
        if (bad != std::errc() || stop != end || found.port < 1 || found.port > 65535) fail();
    }
    return found;
}

void check(int status) {
    if (status != ARES_SUCCESS) throw error(errc::no_server, "c-ares", ares_strerror(status));
}

std::vector<name_server> servers_of(ares_channel channel) {
    ares_addr_port_node* all = nullptr;
    check(ares_get_servers_ports(channel, &all));
    std::unique_ptr<ares_addr_port_node, decltype(&ares_free_data)> const owned(all,
                                                                                &ares_free_data);
    std::vector<name_server> found;
    for (auto const* one = all; one; one = one->next) {
        name_server server;
        if (one->family == AF_INET) {
            asio::ip::address_v4::bytes_type bytes;
            std::memcpy(bytes.data(), &one->addr.addr4, bytes.size());
            server.address = asio::ip::address_v4(bytes);
        } else {
            asio::ip::address_v6::bytes_type bytes;
            std::memcpy(bytes.data(), &one->addr.addr6, bytes.size());
            server.address = asio::ip::address_v6(bytes);
        }
        if (one->udp_port != 0) server.port = one->udp_port;
        found.push_back(server);
    }
    return found;
}

} // namespace

void init_cares() {
    // Neither thread-safe nor needed twice; never cleaned up, as other users of c-ares may live on.
    static std::once_flag once;
    std::call_once(once, [] { check(ares_library_init(ARES_LIB_INIT_ALL)); });
}

configuration configuration::read(resolver::options const& how) {
    init_cares();
    configuration made;
    for (auto const& text : how.servers) made.servers.push_back(parse_server(text));

    // c-ares knows resolv.conf(5) and the environment variables that amend it.
    std::string path = how.resolv_conf.string();
    ares_options options{};
    options.resolvconf_path = path.data();
    ares_channel channel = nullptr;
    check(ares_init_options(&channel, &options, ARES_OPT_RESOLVCONF));
    std::unique_ptr<std::remove_pointer_t<ares_channel>, decltype(&ares_destroy)> const owned(
        channel, &ares_destroy);
    ares_options found{};
    int mask = 0;
    check(ares_save_options(channel, &found, &mask));
    made.search.assign(found.domains, found.domains + found.ndomains);
    made.dots = found.ndots;
    ares_destroy_options(&found);
    if (made.servers.empty()) made.servers = servers_of(channel);
    return made;
}

} // namespace trawl::dns::detail
