#pragma once

#include "targets/host_list.hpp"
#include "targets/interval_set.hpp"

#include <trawl/targets.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace trawl::targets::detail {

/// Addresses of one family from `span.first` to `span.last`; `scope` is the zone of one IPv6
/// address, else 0.
struct address_range {
    bool v6;
    std::uint32_t scope;
    interval span;
};

/// What one word of the grammar means, before anything is left out.
struct item {
    std::variant<address_range, host_list> hosts;
    std::optional<std::uint16_t> port;
    std::size_t offset; ///< of the word in its text
    std::size_t length;
};

/// Reads every word of `text`; throws error(errc::bad_target).
std::vector<item> parse_items(std::string_view text, origin const& from);

/// Throws error(errc::bad_target) for `word`, with the position of its byte `at`: "hosts.txt:7:5"
/// or "argument 2, column 5".
[[noreturn]] void fail(origin const& from, std::size_t at, std::string_view word,
                       std::string const& why);

/// Throws the same for a host list that overlaps another one and is too large to be compared with
/// it.
[[noreturn]] void fail_overlap(origin const& from, std::string_view text, item const& entry);

asio::ip::address address_of(bool v6, std::uint32_t scope, wide number);

} // namespace trawl::targets::detail
