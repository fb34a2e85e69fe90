#pragma once

#include <trawl/ssh.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The known_hosts format (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"), without I/O.
//
//     [@marker] names keytype base64 [comment]
//     names: name,name,...   with * ? wildcards and !negation, [name]:port for ports other than 22
//            |1|base64 salt|base64 HMAC-SHA1(salt, name)      one hashed name
namespace trawl::ssh::detail {

/// The name under which a host is on record: lower case, "[host]:port" unless the port is 22.
std::string record_name(std::string_view host, std::uint16_t port);

/// `pattern` with * and ? against the whole of `name`.
bool wildcard_match(std::string_view pattern, std::string_view name) noexcept;

/// HMAC-SHA1 under a fixed key, with the two key blocks already compressed: each digest of a short
/// name costs two compressions instead of four, and none of OpenSSL's set-up.
class keyed_sha1 {
public:
    explicit keyed_sha1(std::string_view key);
    std::array<unsigned char, 20> digest(std::string_view message) const;

private:
    std::array<std::uint32_t, 5> inner_, outer_;
};

struct hashed_name {
    keyed_sha1 salt;
    std::array<unsigned char, 20> digest;
};

struct known_entry {
    bool revoked = false, authority = false; // as marked
    std::size_t line = 0;                    // from 1
    host_key key;
    std::vector<std::string> patterns; // lower case, '!' kept; empty for a hashed name
    std::optional<hashed_name> hashed;

    /// True when every lookup can go by name: no wildcard, no negation, not hashed.
    bool plain() const noexcept;
    bool applies_to(std::string_view record_name) const;
};

enum class line_kind { nothing, entry, bad };

/// Reads one line; `nothing` for an empty line or a comment.
line_kind parse_line(std::string_view line, known_entry& into);

/// The line, with newline, that puts a key on record.
std::string format_line(std::string_view record_name, host_key const& key);

} // namespace trawl::ssh::detail
