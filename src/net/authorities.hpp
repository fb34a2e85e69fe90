#pragma once

#include <memory>
#include <string>

#include <openssl/x509_vfy.h>

namespace trawl::net {

/// The authorities of a PEM file; for an empty name the system's. Reading them takes some 50 ms, so
/// that they are read once in a process, while the file stays as it is. From any thread. Throws
/// error.
std::shared_ptr<X509_STORE> authorities(std::string const& file);

} // namespace trawl::net
