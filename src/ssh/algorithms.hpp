#pragma once

#include "ssh/transport.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace trawl::ssh::detail {

/// The names that `wanted` (ssh_config(5), Ciphers) makes of the built-in ones.
std::vector<std::string> resolve_names(std::string_view wanted, std::string_view built_in);

/// Tells libssh what to propose; `on_record`: types of the host's keys. Throws failure when libssh
/// knows none of the names.
void propose(transport& link, algorithms const& wanted, std::vector<std::string> const& on_record);

/// libssh's "kex error : no match for method ..." in a few words; anything else as it is.
std::string plain_mismatch(std::string const& words);

} // namespace trawl::ssh::detail
