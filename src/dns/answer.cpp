#include "dns/answer.hpp"

#include <fmt/format.h>

#include <netdb.h>

#include <array>
#include <cstring>

namespace trawl::dns::detail {

namespace {

// More addresses than any name has: a 64 KiB answer over TCP holds about 4,000 A records.
constexpr int most_addresses = 1024;

} // namespace

bool negative(int status) noexcept { return status == ARES_ENODATA || status == ARES_ENOTFOUND; }

errc code_of(int status) noexcept {
    switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND: return errc::not_found;
    case ARES_ETIMEOUT: return errc::timed_out;
    case ARES_EREFUSED: return errc::refused;
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP: return errc::server_failure;
    case ARES_EBADNAME:
    case ARES_EBADQUERY: return errc::bad_name;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED: return errc::closed;
    case ARES_ECONNREFUSED: return errc::no_server;
    default: return errc::bad_answer;
    }
}

std::vector<asio::ip::address> addresses_of(question const& asked, type wanted, int& status) {
    std::vector<asio::ip::address> found;
    status = asked.status;
    if (status != ARES_SUCCESS) return found;
    auto const size = static_cast<int>(asked.answer.size());
    int count = most_addresses;
    if (wanted == type::a) {
        std::vector<ares_addrttl> records(most_addresses);
        status = ares_parse_a_reply(asked.answer.data(), size, nullptr, records.data(), &count);
        for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
            asio::ip::address_v4::bytes_type bytes;
            std::memcpy(bytes.data(), &records[static_cast<std::size_t>(i)].ipaddr, bytes.size());
            found.emplace_back(asio::ip::address_v4(bytes));
        }
    } else {
        std::vector<ares_addr6ttl> records(most_addresses);
        status = ares_parse_aaaa_reply(asked.answer.data(), size, nullptr, records.data(), &count);
        for (int i = 0; status == ARES_SUCCESS && i < count; ++i) {
            asio::ip::address_v6::bytes_type bytes;
            std::memcpy(bytes.data(), &records[static_cast<std::size_t>(i)].ip6addr, bytes.size());
            found.emplace_back(asio::ip::address_v6(bytes));
        }
    }
    if (status == ARES_SUCCESS && found.empty()) status = ARES_ENODATA;
    return found;
}

std::vector<std::string> names_of(question const& asked, asio::ip::address const& address,
                                  int& status) {
    std::vector<std::string> found;
    status = asked.status;
    if (status != ARES_SUCCESS) return found;
    std::array<unsigned char, 16> bytes{};
    if (address.is_v4())
        std::memcpy(bytes.data(), address.to_v4().to_bytes().data(), 4);
    else
        bytes = address.to_v6().to_bytes();
    hostent* host = nullptr;
    status = ares_parse_ptr_reply(asked.answer.data(), static_cast<int>(asked.answer.size()),
                                  bytes.data(), address.is_v4() ? 4 : 16,
                                  address.is_v4() ? AF_INET : AF_INET6, &host);
    if (status != ARES_SUCCESS) return found;
    std::unique_ptr<hostent, decltype(&ares_free_hostent)> const owned(host, &ares_free_hostent);
    // h_name is the last record; the aliases are all of them.
    for (auto alias = host->h_aliases; *alias; ++alias) found.emplace_back(*alias);
    if (found.empty() && host->h_name) found.emplace_back(host->h_name);
    if (found.empty()) status = ARES_ENODATA;
    return found;
}

std::string reverse_name(asio::ip::address const& address) {
    std::string name;
    if (address.is_v4()) {
        auto const bytes = address.to_v4().to_bytes();
        return fmt::format("{}.{}.{}.{}.in-addr.arpa", bytes[3], bytes[2], bytes[1], bytes[0]);
    }
    auto const bytes = address.to_v6().to_bytes();
    for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte)
        name += fmt::format("{:x}.{:x}.", *byte & 15, *byte >> 4);
    return name + "ip6.arpa";
}

} // namespace trawl::dns::detail
