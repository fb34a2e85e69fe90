#pragma once

#include <trawl/async.hpp>
#include <trawl/icmp.hpp>
#include <trawl/ssh.hpp>
#include <trawl/targets.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

/// What results look like: the members of `trawl --json`.
namespace service {

/// Bytes as a JSON string, or as {"b64": ...} when they are not UTF-8.
boost::json::value text(std::string_view bytes);
/// In seconds; null when there is none.
boost::json::value seconds(std::optional<trawl::duration> time);

/// RFC 3339, in UTC.
std::string date(std::chrono::system_clock::time_point when);

boost::json::object record_of(trawl::icmp::result const& host);
boost::json::object record_of(trawl::targets::target const& host, trawl::ssh::completed const& end);
boost::json::object record_of(trawl::targets::target const& host, trawl::ssh::failure const& why);

} // namespace service
