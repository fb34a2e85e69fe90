#pragma once

#include <trawl/async.hpp>

#include <asio/ip/address.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <sys/stat.h>
#include <vector>

namespace trawl::dns::detail {

/// hosts(5): an address, then its names; `#` begins a comment. Lines that cannot be read are
/// skipped, as libc does.
class hosts_file {
public:
    static hosts_file parse(std::string_view text);
    /// An empty table when the file is missing or cannot be read.
    static hosts_file read(std::filesystem::path const& path);

    /// In the order of the file; empty when the name is not in it.
    std::vector<asio::ip::address> addresses(std::string_view name) const;
    /// The first name of each line of `address`.
    std::vector<std::string> names(asio::ip::address const& address) const;

private:
    std::unordered_map<std::string, std::vector<asio::ip::address>> by_name_;
    std::map<asio::ip::address, std::vector<std::string>> by_address_;
};

/// A hosts file that is read again when it has changed; looked at once a second at most.
class watched_hosts {
public:
    explicit watched_hosts(std::filesystem::path path);
    hosts_file const& at(time_point now);

private:
    struct ::stat state() const;

    std::filesystem::path path_;
    hosts_file table_;
    struct ::stat seen_ {};
    time_point next_look_{};
};

} // namespace trawl::dns::detail
