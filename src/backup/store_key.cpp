#include <trawl/backup_store.hpp>

#include "backup/files.hpp"
#include "backup/hash.hpp"

#include <trawl/backup.hpp>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup {

namespace {
constexpr std::string_view key_word = "trawl-backup-key-1 ";
constexpr std::size_t key_size = 32;
} // namespace

store_key::store_key(std::array<unsigned char, 32> const& bytes)
    : bytes_(std::string(bytes.begin(), bytes.end())) {}

store_key store_key::load(std::filesystem::path const& file) {
    net::secret line;
    try {
        line = net::read_secret_file(file);
    } catch (error const& failure) {
        if (failure.code().category() == std::system_category() ||
            failure.code().category() == std::generic_category())
            throw;
        throw error(errc::no_key, "backup key " + file.string(), failure.code().message());
    }
    auto const text = line.view();
    std::optional<detail::digest> bytes;
    if (text.starts_with(key_word))
        bytes = detail::from_hex(text.substr(key_word.size()), key_size);
    if (!bytes)
        throw error(errc::no_key, "backup key " + file.string(),
                    "its first line is no key; trawl backup keygen makes one");
    store_key key(bytes->bytes);
    OPENSSL_cleanse(bytes->bytes.data(), bytes->bytes.size());
    return key;
}

store_key store_key::make(std::filesystem::path const& file) {
    detail::digest fresh;
    fresh.size = key_size;
    if (RAND_priv_bytes(fresh.bytes.data(), key_size) != 1)
        throw std::runtime_error("backup: no random numbers for a key");
    auto const shown = file.string();
    detail::descriptor const to(
        ::open(shown.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!to) detail::fail(errno, "key " + shown);
    net::secret const line(std::string(key_word) + detail::hex(fresh) + '\n');
    detail::write_all(to.get(), line.view(), "key " + shown);
    if (::fsync(to.get()) != 0) detail::fail(errno, "key " + shown);
    store_key key(fresh.bytes);
    OPENSSL_cleanse(fresh.bytes.data(), fresh.bytes.size());
    return key;
}

} // namespace trawl::backup
