#pragma once

#include "mail/encoding.hpp"
#include "mail/smtp_sasl.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace trawl::test {

/// The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802 §3 and §5, RFC 7677) for one
/// login of bob, whose password is s3cret. Messages are decoded ones.
class scram_verifier {
public:
    explicit scram_verifier(bool plus) : plus_(plus) {}

    /// server-first-message; nullopt when client-first-message is none, or asks for another binding
    /// than its mechanism has.
    std::optional<std::string> challenge(std::string const& first) {
        auto const end = first.find(",,");
        if (end == first.npos) return std::nullopt;
        header_ = first.substr(0, end + 2), bare_ = first.substr(end + 2);
        binding_name_ = plus_ ? attribute(header_, "p") : "";
        // RFC 5802 §6: who could bind and was not told that we can has been lied to.
        if (plus_ ? binding_name_.empty() : header_ != "n,,") return std::nullopt;
        if (attribute(bare_, "n") != "bob") return std::nullopt;
        nonce_ = attribute(bare_, "r") + "server";
        challenge_ = "r=" + nonce_ + ",s=" + mime::detail::base64(salt) + ",i=4096";
        return challenge_;
    }
    /// "tls-exporter" or "tls-unique"; empty without binding.
    std::string const& binding_name() const { return binding_name_; }

    /// server-final-message; nullopt unless the password is right and the login bound to `binding`.
    std::optional<std::string> verdict(std::string const& last, std::string const& binding) const {
        auto const end = last.rfind(",p=");
        if (end == last.npos) return std::nullopt;
        auto const unproved = last.substr(0, end);
        auto key = smtp::detail::from_base64(last.substr(end + 3)).value_or("");
        if (key.size() != 32 || attribute(unproved, "r") != nonce_ ||
            attribute(unproved, "c") != mime::detail::base64(header_ + binding))
            return std::nullopt;
        std::string salted(32, '\0');
        PKCS5_PBKDF2_HMAC("s3cret", 6, bytes(salt), salt.size(), 4096, EVP_sha256(), 32,
                          reinterpret_cast<unsigned char*>(salted.data()));
        auto const all = bare_ + "," + challenge_ + "," + unproved;
        auto const stored = sha256(hmac(salted, "Client Key")), signature = hmac(stored, all);
        for (std::size_t i = 0; i < 32; ++i) key[i] = static_cast<char>(key[i] ^ signature[i]);
        if (sha256(key) != stored) return std::nullopt;
        return "v=" + mime::detail::base64(hmac(hmac(salted, "Server Key"), all));
    }

private:
    static constexpr std::string_view salt = "salt of the test";

    static unsigned char const* bytes(std::string_view text) {
        return reinterpret_cast<unsigned char const*>(text.data());
    }
    static std::string hmac(std::string const& key, std::string const& text) {
        std::string out(32, '\0');
        unsigned size = 0;
        HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(text), text.size(),
             reinterpret_cast<unsigned char*>(out.data()), &size);
        return out;
    }
    static std::string sha256(std::string const& text) {
        std::string out(32, '\0');
        SHA256(bytes(text), text.size(), reinterpret_cast<unsigned char*>(out.data()));
        return out;
    }
    /// The value of `name`=, wherever it stands; empty without it.
    static std::string attribute(std::string const& message, std::string const& name) {
        auto const all = "," + message;
        auto const at = all.find("," + name + "=");
        if (at == all.npos) return {};
        auto const begin = at + name.size() + 2;
        return all.substr(begin, all.find(',', begin) - begin);
    }

    bool plus_;
    std::string header_, bare_, binding_name_, nonce_, challenge_;
};

} // namespace trawl::test
