#include "ssh/private_key.hpp"

#include "ssh/base64.hpp"
#include "ssh/wire.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::ssh {
namespace {

constexpr std::size_t largest_key_file = 1024 * 1024;

/// libssh's own file functions hide errno, so the file is read here.
net::secret read_key_file(std::filesystem::path const& file, std::string const& where) {
    auto const fail = [&]() {
        throw error(std::error_code(errno, std::generic_category()), where);
    };
    int const fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) fail();
    std::string text;
    text.reserve(16384); // no growth, so no copy of the key stays behind in freed memory
    char piece[4096];
    ssize_t got = 0;
    while ((got = ::read(fd, piece, sizeof piece)) > 0 && text.size() < largest_key_file)
        text.append(piece, static_cast<std::size_t>(got));
    auto const wrong = errno;
    explicit_bzero(piece, sizeof piece);
    ::close(fd);
    net::secret out(std::move(text));
    if (got < 0) errno = wrong, fail();
    return out;
}

/// libssh has one code for "not a key" and "wrong passphrase"; without the right passphrase it asks
/// for one, and this tells us that it did.
int refuse_to_ask(char const*, char*, std::size_t, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

} // namespace

namespace detail {

host_key export_public(ssh_key key) {
    char* text = nullptr;
    if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) return {};
    auto blob = from_base64(text);
    ssh_string_free_char(text);
    if (!blob || blob->size() < 4) return {};
    auto const at = [&](std::size_t i) {
        return static_cast<std::size_t>(static_cast<unsigned char>((*blob)[i]));
    };
    auto const length = at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3);
    if (length > blob->size() - 4) return {};
    return {blob->substr(4, length), std::move(*blob)};
}

} // namespace detail

std::string private_key::type() const {
    return state_ ? detail::export_public(state_->handle).type : std::string();
}

std::string private_key::fingerprint() const {
    return state_ ? detail::export_public(state_->handle).fingerprint() : std::string();
}

namespace {

/// A certificate holds its type, a nonce and then the key's own fields (PROTOCOL.certkeys); libssh
/// does not compare.
bool is_for(host_key const& certificate, host_key const& key) {
    detail::wire_reader whole(certificate.blob), bare(key.blob);
    auto const type = bare.string();
    auto const certified_type = whole.string();
    auto const nonce = whole.string();
    return type && nonce && certified_type->starts_with(*type) &&
           whole.rest().starts_with(bare.rest());
}

} // namespace

private_key load_private_key(std::filesystem::path const& file, net::secret const& passphrase) {
    auto const where = "ssh key " + file.string();
    auto const text = read_key_file(file, where);
    ssh_key handle = nullptr;
    bool encrypted = false;
    int result =
        ssh_pki_import_privkey_base64(text.c_str(), nullptr, refuse_to_ask, &encrypted, &handle);
    if (result != SSH_OK && encrypted && !passphrase.empty())
        result = ssh_pki_import_privkey_base64(text.c_str(), passphrase.c_str(), nullptr, nullptr,
                                               &handle);
    if (result != SSH_OK) throw error(encrypted ? errc::bad_passphrase : errc::bad_key, where);
    private_key out;
    out.state_ = std::make_shared<private_key::state const>(handle);
    return out;
}

private_key with_certificate(private_key const& key, std::filesystem::path const& file) {
    auto const where = "ssh certificate " + file.string();
    auto const text = read_key_file(file, where);
    // "TYPE BASE64 COMMENT"
    auto const line = text.view();
    auto const type = line.substr(0, line.find(' '));
    auto const rest = line.substr(std::min(type.size() + 1, line.size()));
    std::string const base64(rest.substr(0, rest.find_first_of(" \r\n")));
    auto const kind = ssh_key_type_from_name(std::string(type).c_str());
    ssh_key certificate = nullptr;
    ssh_key both = ssh_key_dup(key_access::handle(key));
    bool const joined = both &&
                        ssh_pki_import_cert_base64(base64.c_str(), kind, &certificate) == SSH_OK &&
                        is_for(detail::export_public(certificate), detail::export_public(both)) &&
                        ssh_pki_copy_cert_to_privkey(certificate, both) == SSH_OK;
    ssh_key_free(certificate);
    private_key out;
    if (both) out.state_ = std::make_shared<private_key::state const>(both);
    if (!joined) throw error(errc::bad_certificate, where);
    return out;
}

} // namespace trawl::ssh
