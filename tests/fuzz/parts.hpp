#pragma once

#include "entries.hpp"

#include <algorithm>
#include <string_view>

/// What the files of entries share.
namespace trawl::fuzz {

inline void require(bool holds, char const* what) {
    if (!holds) throw broken(what);
}

/// `text` up to `separator`, which is taken off with it.
inline std::string_view cut(std::string_view& text, char separator) {
    auto const end = std::min(text.find(separator), text.size());
    auto const piece = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return piece;
}

void run_icmp(std::string_view input);
void run_targets(std::string_view input);
void run_smtp(std::string_view input);
void run_mime(std::string_view input);
void run_mail(std::string_view input);
void run_known_hosts(std::string_view input);
void run_ssh_config(std::string_view input);
void run_manifest(std::string_view input);
void run_manifest_search(std::string_view input);
void run_ignore(std::string_view input);
void run_sparse(std::string_view input);
void run_sealed(std::string_view input);
void run_dns(std::string_view input);
void run_sftp(std::string_view input);
void run_spool(std::string_view input);
void run_sts(std::string_view input);
void run_socks(std::string_view input);
void run_service(std::string_view input);

} // namespace trawl::fuzz
