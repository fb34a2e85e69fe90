#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The lexical part of ssh_config(5).
namespace trawl::ssh::detail {

std::string lower(std::string_view text);

/// The keyword in lower case and its arguments. "Keyword a b", "Keyword=a", quotes around an
/// argument, # begins a comment. Empty for an empty line; nullopt when a quote is not closed.
std::optional<std::vector<std::string>> split_line(std::string_view line);

/// True when one of `patterns` matches and none of those with ! does.
bool matches_patterns(std::vector<std::string> const& patterns, std::string_view text);
/// The same for a list with commas.
bool matches_list(std::string_view patterns, std::string_view text);

/// "90", "1m30s", "2h" (sshd_config(5), TIME FORMATS).
std::optional<std::chrono::seconds> parse_time(std::string_view text);

/// "16", "512K", "1G" (1024 times as much each); at least 16, as in OpenSSH.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// Whole number up to `most`.
std::optional<unsigned> parse_number(std::string_view text, unsigned most);

} // namespace trawl::ssh::detail
