#pragma once

#include <trawl/mime_content.hpp>
#include <trawl/net.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace trawl::dkim {

enum class errc {
    bad_key = 1, ///< no private key in PEM, one with a passphrase, or neither RSA nor Ed25519
    weak_key,    ///< an RSA key of less than 1024 bits (RFC 8301 §3.2)
    bad_name,    ///< a domain, selector or identity that cannot be in a signature
    no_from,     ///< the message has no From, which must be signed (RFC 6376 §5.4)
    bad_message, ///< what is no message with CRLF line ends
};

/// Category "trawl.dkim".
std::error_category const& category() noexcept;
std::error_code make_error_code(errc code) noexcept;

/// Who signs, and what.
struct options {
    std::string domain;   ///< d=, who takes responsibility: ASCII, "example.org"
    std::string selector; ///< s=: the key's record is SELECTOR._domainkey.DOMAIN
    std::string identity; ///< i=, "@sub.example.org" or an address of the domain; empty: left out
    /// The fields that are signed when they are there. Those of From, To, Cc, Subject, Date,
    /// Reply-To, Message-ID, MIME-Version and Content-Type among them are signed once more than they
    /// are there (RFC 6376 §8.15), so that nobody can add another one.
    std::vector<std::string> fields = {"From",
                                       "Sender",
                                       "Reply-To",
                                       "To",
                                       "Cc",
                                       "Subject",
                                       "Date",
                                       "Message-ID",
                                       "In-Reply-To",
                                       "References",
                                       "MIME-Version",
                                       "Content-Type",
                                       "Content-Transfer-Encoding",
                                       "List-Unsubscribe",
                                       "List-Unsubscribe-Post"};
    std::optional<std::chrono::seconds> valid_for; ///< x=, from the signing on; none: for ever
};

/// Signs messages (RFC 6376, relaxed/relaxed) with an RSA (rsa-sha256) or Ed25519 key
/// (ed25519-sha256, RFC 8463). Immutable: many messages and threads may share one.
class signer {
public:
    /// `pem`: a private key as `openssl genpkey` writes it, without a passphrase. Throws error.
    signer(net::secret const& pem, dkim::options options);
    /// The same from a file; blocks while it reads. Throws error, with the system's code too.
    signer(std::filesystem::path const& pem_file, dkim::options options);
    ~signer();
    signer(signer const&) = delete;
    signer& operator=(signer const&) = delete;

    /// The DKIM-Signature field, with its CRLF, that goes before `message`, which is read to its
    /// end and has CRLF line ends. `now` becomes t=. Throws error, and as reading does.
    std::string
    sign(mime::source& message,
         std::chrono::system_clock::time_point now = std::chrono::system_clock::now()) const;

    /// The text of the TXT record that publishes the key: "v=DKIM1; k=rsa; p=...".
    std::string record() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::dkim

template <>
struct std::is_error_code_enum<trawl::dkim::errc> : std::true_type {};
