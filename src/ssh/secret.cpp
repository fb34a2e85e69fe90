#include <trawl/ssh.hpp>

#include <openssl/crypto.h>

#include <algorithm>

namespace trawl::ssh {

secret::secret(std::string&& text)
    : bytes_(std::make_unique<char[]>(text.size() + 1)), size_(text.size()) {
    std::copy(text.begin(), text.end(), bytes_.get());
    // Up to the capacity: the bytes of an earlier, longer value may stand behind the end.
    text.resize(text.capacity());
    OPENSSL_cleanse(text.data(), text.size());
    text.clear();
}

secret& secret::operator=(secret&& other) noexcept {
    std::swap(bytes_, other.bytes_); // the old bytes go with `other`
    std::swap(size_, other.size_);
    return *this;
}

secret::~secret() {
    if (bytes_) OPENSSL_cleanse(bytes_.get(), size_);
}

} // namespace trawl::ssh
