#include "parts.hpp"

namespace trawl::fuzz {
namespace {

constexpr entry all[] = {
    {"icmp", run_icmp},
    {"targets", run_targets},
    {"smtp", run_smtp},
    {"mime", run_mime},
    {"known_hosts", run_known_hosts},
    {"manifest", run_manifest},
    {"dns", run_dns},
    {"ssh_config", run_ssh_config},
    {"sftp", run_sftp},
    {"mail", run_mail},
    {"spool", run_spool},
    {"sts", run_sts},
    {"ignore", run_ignore},
    {"sparse", run_sparse},
    {"manifest_search", run_manifest_search},
    {"socks", run_socks},
    {"sealed", run_sealed},
#if TRAWL_FUZZ_SERVICE
    {"service", run_service},
#endif
};

} // namespace

std::span<entry const> entries() { return all; }

} // namespace trawl::fuzz
