#include "ssh/base64.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace trawl::ssh::detail {

std::string to_base64(std::string_view bytes) {
    std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0'); // EVP_EncodeBlock ends with a NUL
    auto const length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                        reinterpret_cast<unsigned char const*>(bytes.data()),
                                        static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(length));
    return out;
}

std::optional<std::string> from_base64(std::string_view text) {
    // EVP_DecodeBlock trims blanks and takes any number of '='; both are refused here first.
    if (text.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
        ++padding;
    auto const alphabet = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '+' || c == '/';
    };
    for (char c : text.substr(0, text.size() - padding))
        if (!alphabet(c)) return std::nullopt;
    std::string out(text.size() / 4 * 3, '\0');
    auto const length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                        reinterpret_cast<unsigned char const*>(text.data()),
                                        static_cast<int>(text.size()));
    if (length < 0) return std::nullopt;
    out.resize(static_cast<std::size_t>(length) - padding);
    return out;
}

std::string sha256_fingerprint(std::string_view blob) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<unsigned char const*>(blob.data()), blob.size(), digest);
    auto text = to_base64({reinterpret_cast<char const*>(digest), sizeof digest});
    while (!text.empty() && text.back() == '=') text.pop_back();
    return "SHA256:" + text;
}

} // namespace trawl::ssh::detail
