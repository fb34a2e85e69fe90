#include "net/authorities.hpp"

#include <trawl/error.hpp>
#include <trawl/net.hpp>

#include <asio/ssl/error.hpp>

#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/stat.h>

namespace trawl::net {
namespace {

std::shared_ptr<X509_STORE> load(std::string const& file) {
    std::shared_ptr<X509_STORE> made(X509_STORE_new(), X509_STORE_free);
    ERR_clear_error();
    bool const good =
        made && (file.empty() ? X509_STORE_set_default_paths(made.get())
                              : X509_STORE_load_locations(made.get(), file.c_str(), nullptr));
    if (good) return made;
    std::error_code const why(static_cast<int>(ERR_get_error()), asio::error::get_ssl_category());
    throw error(why, "certificates " + (file.empty() ? "of the system" : file));
}

/// What tells that a file was replaced or written.
auto stamp_of(std::string const& file) {
    auto const* const other = ::getenv(X509_get_default_cert_file_env());
    auto const* const system = other ? other : X509_get_default_cert_file();
    struct stat about {};
    (void)::stat(file.empty() ? system : file.c_str(), &about);
    return std::tuple(about.st_dev, about.st_ino, about.st_size, about.st_mtim.tv_sec,
                      about.st_mtim.tv_nsec);
}

} // namespace

std::shared_ptr<X509_STORE> authorities(std::string const& file) {
    struct kept {
        decltype(stamp_of({})) stamp;
        std::shared_ptr<X509_STORE> store;
    };
    // Never destroyed: at the end of the process OpenSSL may go before our statics.
    static auto& known = *new std::map<std::string, kept>;
    static std::mutex turn;
    std::lock_guard const alone(turn);
    auto const stamp = stamp_of(file);
    auto const found = known.find(file);
    if (found != known.end() && found->second.stamp == stamp) return found->second.store;
    auto fresh = load(file);
    known.insert_or_assign(file, kept{stamp, fresh});
    return fresh;
}

void load_authorities(std::string const& ca_file) { (void)authorities(ca_file); }

} // namespace trawl::net
