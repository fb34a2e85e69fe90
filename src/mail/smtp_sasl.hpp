#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

// SASL (RFC 4422) for a client, without sockets: challenges in, responses out, all of them decoded.
namespace trawl::smtp::detail {

/// Who logs in, and with what. `secret` outlives whoever uses it.
struct credentials {
    std::string user;
    std::string_view secret; ///< a password, or a bearer token (RFC 6750)
    bool is_token = false;
    std::string host;         ///< for OAUTHBEARER
    unsigned port = 0;        ///< likewise
    std::string mechanism;    ///< the only one to be used; empty: the best of those that fit
    std::string binding;      ///< of the TLS channel (RFC 5056); empty: there is none
    std::string binding_name; ///< as net::stream::binding has it
};

/// One exchange of one mechanism.
class mechanism {
public:
    virtual ~mechanism() = default;
    virtual std::string_view name() const noexcept = 0;
    /// What goes with the AUTH command (RFC 4954 §4); nullopt: the server speaks first.
    virtual std::optional<std::string> initial() = 0;
    /// The answer to a challenge; nullopt when the challenge is wrong, or while working().
    virtual std::optional<std::string> respond(std::string_view challenge) = 0;
    /// Long computations are done in slices: while this is true the owner calls work(), between
    /// other things, until that returns the answer to the last challenge.
    virtual bool working() const noexcept { return false; }
    virtual std::optional<std::string> work() { return std::nullopt; }
    /// The server said yes. False when it owes a proof that it knows the secret too.
    virtual bool complete() const noexcept { return true; }
};

/// The best mechanism that `offered` (as capabilities::auth) has and that the credentials fit;
/// nullptr when there is none. From the strongest: a password is proved (SCRAM) rather than shown,
/// and shown (PLAIN) rather than hashed by a broken hash (CRAM-MD5), for the way is encrypted.
std::unique_ptr<mechanism> choose_mechanism(std::string_view offered, credentials const& who);

/// SCRAM-SHA-256 (RFC 5802, RFC 7677). With a binding and `plus` the proof holds for this TLS
/// channel only; `plus_offered` says what the server's list had, so that nobody can take it out.
/// `nonce` is fresh and printable without a comma.
std::unique_ptr<mechanism> scram_sha_256(credentials const& who, bool plus, bool plus_offered,
                                         std::string nonce);

/// CRAM-MD5 (RFC 2195).
std::unique_ptr<mechanism> cram_md5(credentials const& who);

/// The bytes of base64 text; nullopt when it is not canonical base64.
std::optional<std::string> from_base64(std::string_view text);
/// Overwrites a secret.
void wipe(std::string& text) noexcept;

} // namespace trawl::smtp::detail
