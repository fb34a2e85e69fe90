#include "mail/smtp_sasl.hpp"

#include "mail/encoding.hpp"

#include <fmt/format.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <string.h> // explicit_bzero

namespace trawl::smtp::detail {
namespace {

bool is_offered(std::string_view offered, std::string_view name) {
    for (std::size_t at = 0; at <= offered.size();) {
        auto const end = std::min(offered.find(' ', at), offered.size());
        if (offered.substr(at, end - at) == name) return true;
        at = end + 1;
    }
    return false;
}

/// One message and no more (RFC 4616).
class plain : public mechanism {
public:
    explicit plain(credentials const& who) : who_(who) {}
    std::string_view name() const noexcept override { return "PLAIN"; }
    std::optional<std::string> initial() override {
        return fmt::format("{}{}{}{}", '\0', who_.user, '\0', who_.secret);
    }
    std::optional<std::string> respond(std::string_view) override {
        // A server that ignored what came with AUTH asks once.
        if (std::exchange(asked_, true)) return std::nullopt;
        return initial();
    }

private:
    credentials who_;
    bool asked_ = false;
};

/// Never specified, everywhere: the server asks for the user and then for the password, in words
/// that differ.
class login : public mechanism {
public:
    explicit login(credentials const& who) : who_(who) {}
    std::string_view name() const noexcept override { return "LOGIN"; }
    std::optional<std::string> initial() override { return std::nullopt; }
    std::optional<std::string> respond(std::string_view) override {
        switch (asked_++) {
        case 0: return who_.user;
        case 1: return std::string(who_.secret);
        default: return std::nullopt;
        }
    }

private:
    credentials who_;
    int asked_ = 0;
};

class cram : public mechanism {
public:
    explicit cram(credentials const& who) : who_(who) {}
    std::string_view name() const noexcept override { return "CRAM-MD5"; }
    std::optional<std::string> initial() override { return std::nullopt; }
    std::optional<std::string> respond(std::string_view challenge) override {
        if (std::exchange(asked_, true) || challenge.empty()) return std::nullopt;
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
        unsigned size = 0;
        if (!HMAC(EVP_md5(), who_.secret.data(), static_cast<int>(who_.secret.size()),
                  reinterpret_cast<unsigned char const*>(challenge.data()), challenge.size(),
                  digest.data(), &size))
            return std::nullopt; // a library without MD5 (FIPS)
        auto answer = who_.user + ' ';
        for (unsigned i = 0; i < size; ++i) answer += fmt::format("{:02x}", digest[i]);
        return answer;
    }

private:
    credentials who_;
    bool asked_ = false;
};

/// A token in the two forms that it travels in: RFC 7628, and Google's of before it. A refusal comes
/// as a challenge that has to be answered before the server says 535.
class bearer : public mechanism {
public:
    bearer(credentials const& who, bool standard) : who_(who), standard_(standard) {}
    std::string_view name() const noexcept override {
        return standard_ ? "OAUTHBEARER" : "XOAUTH2";
    }
    std::optional<std::string> initial() override {
        if (!standard_)
            return fmt::format("user={}\x01"
                               "auth=Bearer {}\x01\x01",
                               who_.user, who_.secret);
        // RFC 5801 §4: ',' and '=' are the only ones to be escaped.
        std::string name;
        for (char c : who_.user) c == ',' ? name += "=2C" : c == '=' ? name += "=3D" : name += c;
        return fmt::format("n,a={},\x01host={}\x01port={}\x01"
                           "auth=Bearer {}\x01\x01",
                           name, who_.host, who_.port, who_.secret);
    }
    std::optional<std::string> respond(std::string_view) override {
        if (std::exchange(refused_, true)) return std::nullopt;
        return standard_ ? "\x01" : "";
    }
    bool complete() const noexcept override { return !refused_; }

private:
    credentials who_;
    bool standard_, refused_ = false;
};

std::string fresh_nonce() {
    std::array<unsigned char, 18> bytes;
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("OpenSSL has no random bytes");
    return mime::detail::base64({reinterpret_cast<char const*>(bytes.data()), bytes.size()});
}

} // namespace

std::unique_ptr<mechanism> cram_md5(credentials const& who) { return std::make_unique<cram>(who); }

std::unique_ptr<mechanism> choose_mechanism(std::string_view offered, credentials const& who) {
    bool const plus_offered = is_offered(offered, "SCRAM-SHA-256-PLUS");
    auto const fits = [&](std::string_view name) {
        return (who.mechanism.empty() || who.mechanism == name) && is_offered(offered, name);
    };
    if (who.is_token) {
        if (fits("OAUTHBEARER")) return std::make_unique<bearer>(who, true);
        if (fits("XOAUTH2")) return std::make_unique<bearer>(who, false);
        return nullptr;
    }
    if (!who.binding.empty() && fits("SCRAM-SHA-256-PLUS"))
        return scram_sha_256(who, true, plus_offered, fresh_nonce());
    if (fits("SCRAM-SHA-256")) return scram_sha_256(who, false, plus_offered, fresh_nonce());
    if (fits("PLAIN")) return std::make_unique<plain>(who);
    if (fits("LOGIN")) return std::make_unique<login>(who);
    if (fits("CRAM-MD5")) return cram_md5(who);
    return nullptr;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0 || text.size() > 65536) return std::nullopt;
    auto padding = text.size() - std::min(text.find('='), text.size());
    if (padding > 2) return std::nullopt;
    for (char c : text.substr(0, text.size() - padding))
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '+' || c == '/'))
            return std::nullopt;
    if (padding == 2 && text.back() != '=') return std::nullopt;
    std::string bytes(text.size() / 4 * 3, '\0');
    auto const size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                      reinterpret_cast<unsigned char const*>(text.data()),
                                      static_cast<int>(text.size()));
    if (size < 0) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(size) - padding);
    return bytes;
}

void wipe(std::string& text) noexcept {
    explicit_bzero(text.data(), text.size());
    text.clear();
}

} // namespace trawl::smtp::detail
