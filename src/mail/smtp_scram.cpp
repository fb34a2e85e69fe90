// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): both sides prove that they know the
// password, and neither shows it.
//
//     client: n,,n=USER,r=NONCE                     gs2 header, client-first-message-bare
//     server: r=NONCE+ITS,s=SALT,i=ITERATIONS       server-first-message
//     client: c=GS2,r=NONCE+ITS,p=PROOF             client-final-message
//     server: v=SIGNATURE                           server-final-message
#include "mail/encoding.hpp"
#include "mail/smtp_sasl.hpp"

#include <fmt/format.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace trawl::smtp::detail {
namespace {

using mime::detail::base64;
using digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

std::string_view view(digest const& bytes) {
    return {reinterpret_cast<char const*>(bytes.data()), bytes.size()};
}
unsigned char const* bytes_of(std::string_view text) {
    return reinterpret_cast<unsigned char const*>(text.data());
}

digest hmac(std::string_view key, std::string_view text) {
    digest out;
    unsigned size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(),
         out.data(), &size);
    return out;
}

/// Hi() of RFC 5802 §2.2, that is PBKDF2 with one block, a slice at a time. The two padded keys are
/// absorbed once, and each HMAC begins with copies of them.
class salted_password {
public:
    salted_password(std::string_view password, std::string_view salt, unsigned iterations)
        : left_(iterations - 1) {
        std::array<unsigned char, SHA256_CBLOCK> key{};
        if (password.size() > key.size())
            SHA256(bytes_of(password), password.size(), key.data());
        else
            std::copy(password.begin(), password.end(), key.begin());
        for (auto [keyed, pad] : {std::pair{inner_.get(), 0x36}, std::pair{outer_.get(), 0x5c}}) {
            auto block = key;
            for (auto& byte : block) byte = static_cast<unsigned char>(byte ^ pad);
            EVP_DigestInit_ex(keyed, EVP_sha256(), nullptr);
            EVP_DigestUpdate(keyed, block.data(), block.size());
            OPENSSL_cleanse(block.data(), block.size());
        }
        OPENSSL_cleanse(key.data(), key.size());
        last_ = sum_ = keyed_digest(std::string(salt) + std::string("\0\0\0\1", 4));
    }
    salted_password(salted_password const&) = delete;
    ~salted_password() {
        OPENSSL_cleanse(last_.data(), last_.size());
        OPENSSL_cleanse(sum_.data(), sum_.size());
    }
    bool done() const noexcept { return left_ == 0; }
    void go_on(unsigned most) {
        for (; most > 0 && left_ > 0; --most, --left_) {
            last_ = keyed_digest(view(last_));
            for (std::size_t i = 0; i < sum_.size(); ++i)
                sum_[i] = static_cast<unsigned char>(sum_[i] ^ last_[i]);
        }
    }
    std::string_view value() const { return view(sum_); }

private:
    struct free_context {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); } // and wipes it
    };
    using context = std::unique_ptr<EVP_MD_CTX, free_context>;

    digest keyed_digest(std::string_view text) {
        digest out;
        for (auto const* keyed : {&inner_, &outer_}) {
            EVP_MD_CTX_copy_ex(scratch_.get(), keyed->get());
            EVP_DigestUpdate(scratch_.get(), text.data(), text.size());
            EVP_DigestFinal_ex(scratch_.get(), out.data(), nullptr);
            text = view(out);
        }
        return out;
    }

    context inner_{EVP_MD_CTX_new()}, outer_{EVP_MD_CTX_new()}, scratch_{EVP_MD_CTX_new()};
    unsigned left_;
    digest last_, sum_;
};

/// Cuts `name=VALUE` and the comma behind it off the front of `message`.
std::optional<std::string_view> attribute(std::string_view& message, char name) {
    if (message.size() < 2 || message[0] != name || message[1] != '=') return std::nullopt;
    auto const end = std::min(message.find(','), message.size());
    auto const value = message.substr(2, end - 2);
    message.remove_prefix(std::min(end + 1, message.size()));
    return value;
}

class scram : public mechanism {
public:
    /// About 0.2 ms of CPU.
    static constexpr unsigned slice = 256;
    /// RFC 7677 §4 asks for 4,096 at least; who asks for more than this wants our CPU.
    static constexpr unsigned most_iterations = 1'000'000, fewest_iterations = 4096;

    scram(credentials const& who, bool plus, bool plus_offered, std::string nonce)
        : password_(who.secret), plus_(plus), nonce_(std::move(nonce)) {
        // "y": we could bind, and did not see that the server can. It compares.
        gs2_ = plus                                  ? fmt::format("p={},,", who.binding_name)
               : who.binding.empty() || plus_offered ? "n,,"
                                                     : "y,,";
        binding_ = gs2_ + (plus ? who.binding : std::string());
        for (char c : who.user) c == ',' ? user_ += "=2C" : c == '=' ? user_ += "=3D" : user_ += c;
    }

    std::string_view name() const noexcept override {
        return plus_ ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256";
    }
    std::optional<std::string> initial() override {
        first_ = fmt::format("n={},r={}", user_, nonce_);
        return gs2_ + first_;
    }
    std::optional<std::string> respond(std::string_view challenge) override {
        switch (step_) {
        case step::first:
            // A server that ignored what came with AUTH asks for it.
            if (challenge.empty() && !std::exchange(asked_, true)) return initial();
            if (begin(challenge)) step_ = step::working;
            return std::nullopt;
        case step::proved:
            if (!is_signed(challenge)) return std::nullopt;
            step_ = step::done;
            return std::string();
        case step::working:
        case step::done: return std::nullopt;
        }
        return std::nullopt;
    }
    bool working() const noexcept override { return step_ == step::working; }
    std::optional<std::string> work() override {
        salted_->go_on(slice);
        if (!salted_->done()) return std::nullopt;
        step_ = step::proved;
        return prove();
    }
    bool complete() const noexcept override { return step_ == step::done; }

private:
    enum class step { first, working, proved, done };

    /// Reads the server-first-message.
    bool begin(std::string_view message) {
        server_first_ = message;
        auto const nonce = attribute(message, 'r');
        auto const salt_text = nonce ? attribute(message, 's') : std::nullopt;
        auto const count = salt_text ? attribute(message, 'i') : std::nullopt;
        // Its nonce has to begin with ours, so that no old dialogue can be played to us.
        if (!count || !nonce->starts_with(nonce_) || nonce->size() <= nonce_.size()) return false;
        unsigned iterations = 0;
        auto const [end, failure] =
            std::from_chars(count->data(), count->data() + count->size(), iterations);
        if (failure != std::errc() || end != count->data() + count->size() ||
            iterations < fewest_iterations || iterations > most_iterations)
            return false;
        auto const salt = from_base64(*salt_text);
        if (!salt || salt->empty()) return false;
        final_ = fmt::format("c={},r={}", base64(binding_), *nonce);
        salted_ = std::make_unique<salted_password>(password_, *salt, iterations);
        return true;
    }

    std::string prove() {
        auto const key = hmac(salted_->value(), "Client Key");
        digest stored;
        SHA256(key.data(), key.size(), stored.data());
        auto const message = fmt::format("{},{},{}", first_, server_first_, final_);
        auto proof = hmac(view(stored), message);
        for (std::size_t i = 0; i < proof.size(); ++i)
            proof[i] = static_cast<unsigned char>(proof[i] ^ key[i]);
        auto const server_key = hmac(salted_->value(), "Server Key");
        signature_ = base64(view(hmac(view(server_key), message)));
        salted_.reset();
        return fmt::format("{},p={}", final_, base64(view(proof)));
    }

    bool is_signed(std::string_view message) const {
        auto const value = attribute(message, 'v');
        return value && value->size() == signature_.size() &&
               CRYPTO_memcmp(value->data(), signature_.data(), signature_.size()) == 0;
    }

    std::string_view password_;
    bool plus_, asked_ = false;
    std::string nonce_, gs2_, binding_, user_;
    std::string first_, server_first_, final_, signature_;
    std::unique_ptr<salted_password> salted_;
    step step_ = step::first;
};

} // namespace

std::unique_ptr<mechanism> scram_sha_256(credentials const& who, bool plus, bool plus_offered,
                                         std::string nonce) {
    return std::make_unique<scram>(who, plus, plus_offered, std::move(nonce));
}

} // namespace trawl::smtp::detail
