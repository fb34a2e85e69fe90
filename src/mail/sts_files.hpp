#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

// MTA-STS policies between runs: whoever forges the DNS for a new process finds that the policy is
// known already (RFC 8461 §10.2).
namespace trawl::smtp::detail {

/// A policy as its web server gave it.
struct kept_policy {
    std::string id, text;
    std::int64_t until = 0; ///< seconds since 1970
};

/// Its file:
///
///     trawl sts 1
///     domain d.example
///     id 20160831085700Z
///     until 1764257445
///     crc32 1a2b3c4d            of all lines above and the text
///
/// with the text behind it.
std::string write_kept_policy(std::string_view domain, kept_policy const& one);

/// Reads a file of `domain`; any bytes may be given. Throws error (std::errc::bad_message), said()
/// telling what is wrong.
kept_policy read_kept_policy(std::string_view file, std::string_view domain);

/// FOLDER/DOMAIN.mta-sts for each domain, for the owner only. Several processes may use one folder;
/// other files in it are left alone. Everything blocks and throws error, which names the file.
class sts_folder {
public:
    static constexpr std::size_t most_kept = 10'000;

    /// Makes the folder when missing.
    explicit sts_folder(std::filesystem::path where);

    /// What is kept for `domain` and holds at `now`.
    std::optional<kept_policy> find(std::string const& domain, std::int64_t now) const;
    /// Keeps it; a process that dies meanwhile leaves what was there before. When there are too many,
    /// those that end first give way.
    void keep(std::string const& domain, kept_policy const& one, std::int64_t now);

private:
    std::filesystem::path path_of(std::string const& domain) const;
    void sweep(std::int64_t now) const;

    std::filesystem::path where_;
    std::size_t written_ = 0;
};

} // namespace trawl::smtp::detail
