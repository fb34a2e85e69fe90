#pragma once

#include "backup/entry.hpp"

#include <trawl/backup.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// A running SHA-256 or MD5. The algorithm is fetched once an object: on OpenSSL 3 fetching it per
/// file costs more than hashing a small one. One thread at a time.
class hasher {
public:
    explicit hasher(hash algorithm);
    hasher(hasher&&) noexcept;
    ~hasher();

    void update(std::string_view bytes);
    /// Of what was updated since the last finish(); goes on.
    digest so_far() const;
    /// The same; starts anew.
    digest finish();
    digest of(std::string_view bytes) { return update(bytes), finish(); }

private:
    struct state;
    std::unique_ptr<state> state_;
};

std::string_view name_of(hash algorithm) noexcept; ///< "sha256", "md5"
std::size_t size_of(hash algorithm) noexcept;      ///< in bytes

std::string hex(digest const& value);
void put_hex(std::string& to, digest const& value); ///< behind what is there
/// nullopt for anything but `bytes` pairs of lower-case hexadecimal digits.
std::optional<digest> from_hex(std::string_view text, std::size_t bytes);

} // namespace trawl::backup::detail
