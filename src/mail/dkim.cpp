#include <trawl/dkim.hpp>
#include <trawl/error.hpp>

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "mail/dkim_canonical.hpp"
#include "mail/encoding.hpp"
#include "mail/header_fields.hpp"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string.h> // explicit_bzero

namespace trawl::dkim {
namespace {

using key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;

struct category_type : std::error_category {
    char const* name() const noexcept override { return "trawl.dkim"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::bad_key: return "not a private key in PEM, RSA or Ed25519, without a passphrase";
        case errc::weak_key: return "an RSA key of less than 1024 bits";
        case errc::bad_name: return "not a name for a signature";
        case errc::no_from: return "the message has no From";
        case errc::bad_message: return "not a message with CRLF line ends";
        }
        return "unknown error";
    }
};

key parse_key(std::string_view pem) {
    std::unique_ptr<BIO, int (*)(BIO*)> const text(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
    // Without this OpenSSL would ask for a passphrase at the terminal.
    auto const none = [](char*, int, int, void*) { return 0; };
    key found(text ? PEM_read_bio_PrivateKey(text.get(), nullptr, none, nullptr) : nullptr,
              EVP_PKEY_free);
    if (!found) throw error(errc::bad_key, "DKIM key");
    auto const kind = EVP_PKEY_get_base_id(found.get());
    if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_ED25519) throw error(errc::bad_key, "DKIM key");
    if (kind == EVP_PKEY_RSA && EVP_PKEY_get_bits(found.get()) < 1024)
        throw error(errc::weak_key, "DKIM key");
    return found;
}

/// A key file is a few kB; what is more is none.
net::secret read_key_file(std::filesystem::path const& path) {
    auto const where = fmt::format("DKIM key {}", mime::detail::shown(path.native()));
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file(std::fopen(path.c_str(), "rbe"),
                                                               std::fclose);
    if (!file) throw error(std::error_code(errno, std::system_category()), where);
    std::array<char, 65536> block;
    auto const size = std::fread(block.data(), 1, block.size(), file.get());
    auto const failure = std::ferror(file.get()) ? errno : 0;
    net::secret found(std::string(block.data(), size));
    explicit_bzero(block.data(), block.size());
    if (failure) throw error(std::error_code(failure, std::system_category()), where);
    return found;
}

bool is_domain(std::string_view text) {
    return mime::detail::address_fault(fmt::format("a@{}", text)).empty() &&
           text.find('[') == std::string_view::npos;
}

/// "@sub.example.org" or "ops@example.org", of the signing domain or below it (RFC 6376 §3.5).
bool is_identity(std::string const& identity, std::string_view domain) {
    auto const address = identity.starts_with('@') ? "a" + identity : identity;
    if (!mime::detail::address_fault(address).empty()) return false;
    auto const own = mime::detail::lower(mime::detail::domain_of(address));
    auto const signing = mime::detail::lower(domain);
    return own == signing || own.ends_with("." + signing);
}

void require_names(options const& how) {
    auto const require = [](bool good, std::string_view what, std::string_view value) {
        if (!good)
            throw error(errc::bad_name, fmt::format("DKIM {}", what),
                        fmt::format("\"{}\"", mime::detail::shown(value)));
    };
    require(is_domain(how.domain), "domain", how.domain);
    require(is_domain(how.selector), "selector", how.selector);
    require(how.identity.empty() || is_identity(how.identity, how.domain), "identity",
            how.identity);
    for (auto const& name : how.fields)
        require(mime::detail::is_token(name, "-_") && name.size() <= 60, "field", name);
}

/// Fields of which a second one would be believed.
bool is_oversigned(std::string_view name) {
    static constexpr std::array<std::string_view, 9> names{
        "from",     "to",         "cc",           "subject",     "date",
        "reply-to", "message-id", "mime-version", "content-type"};
    return std::ranges::find(names, mime::detail::lower(name)) != names.end();
}

/// What h= lists: each field as often as it is there, and the important ones once more.
std::vector<std::string> signed_names(std::vector<std::string> const& wanted,
                                      std::vector<mime::detail::raw_field> const& fields) {
    std::vector<std::string> names;
    for (auto const& name : wanted) {
        auto const count = std::ranges::count_if(
            fields, [&](auto const& f) { return mime::detail::equal_nocase(f.name, name); });
        names.insert(names.end(), static_cast<std::size_t>(count), name);
        if (is_oversigned(name)) names.push_back(name);
    }
    return names;
}

/// The tags of a signature, folded at 76 bytes.
class tag_list {
public:
    void tag(std::string_view name, std::string_view value) {
        part(fmt::format("{}{}={}", out_.empty() ? "" : " ", name, value));
        part(";");
    }
    /// Values that may be cut behind each `:`.
    void names(std::vector<std::string> const& all) {
        part(" h=");
        for (std::size_t i = 0; i < all.size(); ++i)
            part(all[i] + (i + 1 < all.size() ? ":" : ";"));
    }
    /// base64 may be cut anywhere.
    void bytes(std::string_view name, std::string_view base64, std::string_view end) {
        part(fmt::format(" {}=", name));
        while (!base64.empty()) {
            auto room = line - std::min(column_, line);
            if (room < 8) fold(), room = line - 1;
            auto const taken = std::min(room, base64.size());
            part(base64.substr(0, taken));
            base64.remove_prefix(taken);
        }
        part(end);
    }
    std::string const& str() const { return out_; }

private:
    static constexpr std::size_t line = 76;
    void fold() { out_ += "\r\n ", column_ = 1; }
    void part(std::string_view text) {
        if (column_ + text.size() > line) {
            fold();
            if (text.starts_with(' ')) text.remove_prefix(1);
        }
        out_ += text, column_ += text.size();
    }
    std::string out_;
    std::size_t column_ = std::string_view("DKIM-Signature: ").size();
};

/// Reads a message: its header as a whole, of its body the hash.
struct digested {
    std::string header;
    detail::sha256_value body;
};

digested digest(mime::source& message) {
    constexpr std::size_t longest_header = 4 << 20;
    constexpr std::size_t block_size = 65536;
    digested found;
    std::string block(block_size, '\0'), canonical;
    detail::relaxed_body relaxed;
    detail::sha256 hash;
    auto const take_body = [&](std::string_view bytes) {
        relaxed.write(bytes, canonical);
        hash.update(canonical);
        canonical.clear();
    };
    bool in_body = false;
    for (auto size = block_size; size == block_size;) {
        size = message.read(block);
        std::string_view const bytes(block.data(), size);
        if (in_body) {
            take_body(bytes);
            continue;
        }
        auto const from = found.header.size() < 3 ? 0 : found.header.size() - 3;
        found.header += bytes;
        auto const end = found.header.find("\r\n\r\n", from);
        in_body = end != std::string::npos;
        if (in_body) {
            take_body(std::string_view(found.header).substr(end + 4));
            found.header.resize(end + 2);
        } else if (found.header.size() > longest_header)
            throw error(errc::bad_message, "DKIM", "no empty line behind the header");
    }
    relaxed.finish(canonical);
    hash.update(canonical);
    found.body = hash.finish();
    return found;
}

std::string_view view(detail::sha256_value const& value) {
    return {reinterpret_cast<char const*>(value.data()), value.size()};
}

} // namespace

std::error_category const& category() noexcept {
    static category_type const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

struct signer::state {
    state(std::string_view pem, dkim::options with) : secret(parse_key(pem)), how(std::move(with)) {
        require_names(how);
    }

    bool is_rsa() const { return EVP_PKEY_get_base_id(secret.get()) == EVP_PKEY_RSA; }

    /// RFC 8463 §3: Ed25519 signs the SHA-256 of the header, where RSA's own scheme holds it.
    std::string signature(std::string_view header) const {
        std::string hash;
        if (!is_rsa()) {
            detail::sha256 digester;
            digester.update(header);
            hash = view(digester.finish());
            header = hash;
        }
        std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> const context(EVP_MD_CTX_new(),
                                                                         EVP_MD_CTX_free);
        auto const* const bytes = reinterpret_cast<unsigned char const*>(header.data());
        std::string made(static_cast<std::size_t>(EVP_PKEY_get_size(secret.get())), '\0');
        auto size = made.size();
        bool const signed_it =
            context &&
            EVP_DigestSignInit(context.get(), nullptr, is_rsa() ? EVP_sha256() : nullptr, nullptr,
                               secret.get()) == 1 &&
            EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(made.data()), &size,
                           bytes, header.size()) == 1;
        if (!signed_it) throw error(errc::bad_key, "DKIM key");
        made.resize(size);
        return made;
    }

    key secret;
    dkim::options how;
};

signer::signer(net::secret const& pem, dkim::options options)
    : state_(std::make_unique<state>(pem.view(), std::move(options))) {}
signer::signer(std::filesystem::path const& pem_file, dkim::options options)
    : signer(read_key_file(pem_file), std::move(options)) {}
signer::~signer() = default;

std::string signer::sign(mime::source& message, std::chrono::system_clock::time_point now) const {
    using std::chrono::duration_cast, std::chrono::seconds;
    auto const [header, body] = digest(message);
    mime::detail::line_cutter lines(header);
    auto const fields = mime::detail::read_header(lines, header.size() + 1, header.size() + 1);
    if (!lines.at_end()) throw error(errc::bad_message, "DKIM", "a line in the header is no field");
    auto const& how = state_->how;
    auto const names = signed_names(how.fields, fields.fields);
    bool const from = std::ranges::any_of(
        fields.fields, [](auto const& f) { return mime::detail::equal_nocase(f.name, "From"); });
    if (!from) throw error(errc::no_from, "DKIM");

    tag_list tags;
    tags.tag("v", "1");
    tags.tag("a", state_->is_rsa() ? "rsa-sha256" : "ed25519-sha256");
    tags.tag("c", "relaxed/relaxed");
    tags.tag("d", how.domain);
    tags.tag("s", how.selector);
    if (!how.identity.empty()) tags.tag("i", how.identity);
    auto const signed_at = duration_cast<seconds>(now.time_since_epoch());
    tags.tag("t", std::to_string(signed_at.count()));
    if (how.valid_for) tags.tag("x", std::to_string((signed_at + *how.valid_for).count()));
    tags.names(names);
    tags.bytes("bh", mime::detail::base64(view(body)), ";");
    auto whole = tags;
    tags.bytes("b", "", "");
    auto const input = detail::signed_header(fields.fields, names, " " + tags.str());
    whole.bytes("b", mime::detail::base64(state_->signature(input)), "");
    return fmt::format("DKIM-Signature: {}\r\n", whole.str());
}

std::string signer::record() const {
    std::string public_key;
    if (state_->is_rsa()) {
        unsigned char* der = nullptr;
        auto const size = i2d_PUBKEY(state_->secret.get(), &der);
        if (size > 0)
            public_key.assign(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
        OPENSSL_free(der);
    } else {
        std::array<unsigned char, 32> raw{};
        auto size = raw.size();
        if (EVP_PKEY_get_raw_public_key(state_->secret.get(), raw.data(), &size) == 1)
            public_key.assign(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(size));
    }
    if (public_key.empty()) throw error(errc::bad_key, "DKIM key");
    return fmt::format("v=DKIM1; k={}; p={}", state_->is_rsa() ? "rsa" : "ed25519",
                       mime::detail::base64(public_key));
}

} // namespace trawl::dkim
