#pragma once

#include "backup/entry.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// Appends the line of a manifest (manifest.hpp) that describes an entry.
void put_entry(std::string& to, entry const& e);

/// Reads a line as put_entry() writes most of them: a path of ASCII without escapes, numbers, at
/// most a link in the last column. False for all others and whatever is odd about one: a JSON parser
/// has to look at it, and takes ten times as long. `into` is a fresh entry, then of no use.
bool read_plain_entry(std::string_view line, std::size_t hash_bytes, entry& into);

} // namespace trawl::backup::detail
