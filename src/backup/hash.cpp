#include "backup/hash.hpp"

#include <openssl/evp.h>

#include <stdexcept>

namespace trawl::backup::detail {

namespace {
void check(int ok) {
    if (ok != 1) throw std::runtime_error("backup: OpenSSL refused the hash");
}
} // namespace

struct hasher::state {
    explicit state(hash algorithm)
        : method(EVP_MD_fetch(nullptr, algorithm == hash::md5 ? "MD5" : "SHA256", nullptr)),
          context(EVP_MD_CTX_new()), copy(EVP_MD_CTX_new()) {
        check(method && context && copy ? EVP_DigestInit_ex2(context.get(), method.get(), nullptr)
                                        : 0);
    }

    struct free_method {
        void operator()(EVP_MD* p) const noexcept { EVP_MD_free(p); }
    };
    struct free_context {
        void operator()(EVP_MD_CTX* p) const noexcept { EVP_MD_CTX_free(p); }
    };
    std::unique_ptr<EVP_MD, free_method> method;
    std::unique_ptr<EVP_MD_CTX, free_context> context, copy; ///< copy: for so_far()
};

namespace {
digest end_of(EVP_MD_CTX* context) {
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context, raw, &size));
    digest value;
    value.size = static_cast<std::uint8_t>(size);
    std::copy_n(raw, size, value.bytes.begin());
    return value;
}
} // namespace

hasher::hasher(hash algorithm) : state_(std::make_unique<state>(algorithm)) {}
hasher::hasher(hasher&&) noexcept = default;
hasher::~hasher() = default;

void hasher::update(std::string_view bytes) {
    check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

digest hasher::finish() {
    auto const value = end_of(state_->context.get());
    check(EVP_DigestInit_ex2(state_->context.get(), state_->method.get(), nullptr));
    return value;
}

digest hasher::so_far() const {
    check(EVP_MD_CTX_copy_ex(state_->copy.get(), state_->context.get()));
    return end_of(state_->copy.get());
}

std::string_view name_of(hash algorithm) noexcept {
    return algorithm == hash::md5 ? "md5" : "sha256";
}

std::size_t size_of(hash algorithm) noexcept { return algorithm == hash::md5 ? 16 : 32; }

void put_hex(std::string& to, digest const& value) {
    static constexpr char digits[] = "0123456789abcdef";
    char text[2 * sizeof value.bytes];
    for (std::size_t i = 0; i < value.size; ++i) {
        text[2 * i] = digits[value.bytes[i] >> 4];
        text[2 * i + 1] = digits[value.bytes[i] & 15];
    }
    to.append(text, 2u * value.size);
}

std::string hex(digest const& value) {
    std::string text;
    put_hex(text, value);
    return text;
}

namespace {
/// What a digit stands for; 0xff: none.
constexpr auto nibbles = [] {
    std::array<unsigned char, 256> all{};
    all.fill(0xff);
    for (unsigned char i = 0; i < 16; ++i)
        all[static_cast<unsigned char>("0123456789abcdef"[i])] = i;
    return all;
}();
} // namespace

std::optional<digest> from_hex(std::string_view text, std::size_t bytes) {
    digest value;
    if (text.size() != bytes * 2 || bytes > value.bytes.size()) return std::nullopt;
    unsigned seen = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        auto const high = nibbles[static_cast<unsigned char>(text[2 * i])];
        auto const low = nibbles[static_cast<unsigned char>(text[2 * i + 1])];
        seen |= high | low;
        value.bytes[i] = static_cast<unsigned char>(high << 4 | low);
    }
    if (seen > 15) return std::nullopt;
    value.size = static_cast<std::uint8_t>(bytes);
    return value;
}

} // namespace trawl::backup::detail
