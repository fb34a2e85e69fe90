#include "backup/sealed.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <stdexcept>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view magic = "trawlbk1";
constexpr std::size_t id_size = 8, salt_size = 16, key_size = 32, nonce_size = 12;
static_assert(magic.size() + id_size + salt_size == sealed_head);

void check(bool ok) {
    if (!ok) throw std::runtime_error("backup: OpenSSL refused the encryption");
}

struct free_openssl {
    void operator()(EVP_KDF* p) const noexcept { EVP_KDF_free(p); }
    void operator()(EVP_KDF_CTX* p) const noexcept { EVP_KDF_CTX_free(p); }
    void operator()(EVP_CIPHER* p) const noexcept { EVP_CIPHER_free(p); }
    void operator()(EVP_CIPHER_CTX* p) const noexcept { EVP_CIPHER_CTX_free(p); }
};
template <class T>
using owned = std::unique_ptr<T, free_openssl>;

unsigned char const* raw(std::string_view bytes) noexcept {
    return reinterpret_cast<unsigned char const*>(bytes.data());
}
unsigned char* raw(std::string& bytes) noexcept {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

/// HKDF-SHA256 (RFC 5869).
void derive(std::string_view secret, std::string_view salt, std::string_view info,
            std::span<unsigned char> out) {
    owned<EVP_KDF> const method(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
    owned<EVP_KDF_CTX> const context(method ? EVP_KDF_CTX_new(method.get()) : nullptr);
    check(context != nullptr);
    auto const bytes = [](std::string_view text) { return const_cast<char*>(text.data()); };
    char digest[] = "SHA256";
    OSSL_PARAM const parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, bytes(secret), secret.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, bytes(salt), salt.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, bytes(info), info.size()),
        OSSL_PARAM_construct_end()};
    check(EVP_KDF_derive(context.get(), out.data(), out.size(), parameters) == 1);
}

std::string id_of(store_key const& key) {
    std::string id(id_size, '\0');
    derive(key.bytes(), magic, "trawl backup key id", {raw(id), id.size()});
    return id;
}

std::array<unsigned char, nonce_size> nonce_of(std::uint64_t number, bool last) noexcept {
    std::array<unsigned char, nonce_size> nonce{};
    for (std::size_t i = 0; i < 8; ++i)
        nonce[nonce_size - 2 - i] = static_cast<unsigned char>(number >> 8 * i);
    nonce.back() = last;
    return nonce;
}

/// The key of one file. A context a block: any thread may use it.
class block_cipher {
public:
    block_cipher(store_key const& key, std::string head)
        : head_(std::move(head)), method_(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)) {
        check(method_ != nullptr);
        derive(key.bytes(), std::string_view(head_).substr(sealed_head - salt_size),
               "trawl backup block key", key_);
    }
    block_cipher(block_cipher const&) = delete;
    ~block_cipher() { OPENSSL_cleanse(key_.data(), key_.size()); }

    /// Ready for the block, the head taken in.
    owned<EVP_CIPHER_CTX> begin(std::uint64_t number, bool last, bool sealing) const {
        owned<EVP_CIPHER_CTX> context(EVP_CIPHER_CTX_new());
        if (!context) throw std::bad_alloc();
        auto const nonce = nonce_of(number, last);
        check(EVP_CipherInit_ex2(context.get(), method_.get(), key_.data(), nonce.data(), sealing,
                                 nullptr) == 1);
        int n = 0;
        check(EVP_CipherUpdate(context.get(), nullptr, &n, raw(std::string_view(head_)),
                               static_cast<int>(head_.size())) == 1);
        return context;
    }

private:
    std::string head_;
    owned<EVP_CIPHER> method_;
    std::array<unsigned char, key_size> key_{};
};

std::array<unsigned char, salt_size> new_salt() {
    std::array<unsigned char, salt_size> salt{};
    check(RAND_bytes(salt.data(), static_cast<int>(salt.size())) == 1);
    return salt;
}

} // namespace

std::optional<sealed_length> sealed_length::of(std::uint64_t bytes) noexcept {
    if (bytes < sealed_head + sealed_tag) return std::nullopt;
    auto const blocks = (bytes - sealed_head + sealed_block - 1) / sealed_block;
    auto const last = bytes - sealed_head - (blocks - 1) * sealed_block;
    if (last < sealed_tag || (last == sealed_tag && blocks > 1)) return std::nullopt;
    return sealed_length{blocks, bytes - sealed_head - blocks * sealed_tag};
}

std::string head_of(stored_file const& file) {
    std::string head(sealed_head, '\0');
    head.resize(file.read(0, head));
    return head;
}

bool is_sealed(std::string_view bytes) noexcept { return bytes.starts_with(magic); }

struct sealer::state : block_cipher {
    using block_cipher::block_cipher;
};

sealer::sealer(store_key const& key) : sealer(key, new_salt()) {}

sealer::sealer(store_key const& key, std::span<unsigned char const, 16> salt)
    : head_(std::string(magic) + id_of(key) + std::string(salt.begin(), salt.end())),
      state_(std::make_unique<state>(key, head_)) {}

sealer::sealer(sealer&&) noexcept = default;
sealer::~sealer() = default;

std::string sealer::seal(std::string_view plain, bool last) {
    assert(last ? plain.size() <= sealed_plain : plain.size() == sealed_plain);
    auto const context = state_->begin(number_++, last, true);
    std::string block(plain.size() + sealed_tag, '\0');
    int n = 0, rest = 0;
    check(EVP_EncryptUpdate(context.get(), raw(block), &n, raw(plain),
                            static_cast<int>(plain.size())) == 1);
    check(EVP_EncryptFinal_ex(context.get(), raw(block) + n, &rest) == 1);
    check(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, sealed_tag,
                              raw(block) + plain.size()) == 1);
    return block;
}

opener::verdict opener::look_at(store_key const& key, std::string_view head) noexcept {
    if (head.size() < sealed_head || !is_sealed(head)) return verdict::not_sealed;
    return head.substr(magic.size(), id_size) == id_of(key) ? verdict::good : verdict::other_key;
}

struct opener::state : block_cipher {
    using block_cipher::block_cipher;
};

opener::opener(store_key const& key, std::string_view head)
    : state_(std::make_unique<state>(key, std::string(head.substr(0, sealed_head)))) {}

opener::~opener() = default;

std::optional<std::string> opener::open(std::uint64_t number, bool last,
                                        std::string_view block) const {
    if (block.size() < sealed_tag || block.size() > sealed_block) return std::nullopt;
    if (!last && block.size() != sealed_block) return std::nullopt;
    auto const context = state_->begin(number, last, false);
    auto const sealed = block.substr(0, block.size() - sealed_tag);
    std::string tag(block.substr(sealed.size())), plain(sealed.size(), '\0');
    int n = 0, rest = 0;
    check(EVP_DecryptUpdate(context.get(), raw(plain), &n, raw(sealed),
                            static_cast<int>(sealed.size())) == 1);
    check(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, sealed_tag, tag.data()) == 1);
    unsigned char none = 0;
    if (EVP_DecryptFinal_ex(context.get(), &none, &rest) != 1) return std::nullopt;
    return plain;
}

} // namespace trawl::backup::detail
