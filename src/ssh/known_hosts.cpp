// The one-shot and EVP interfaces cannot resume from a compressed key block.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "ssh/known_hosts.hpp"

#include "ssh/base64.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

namespace trawl::ssh::detail {
namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::string_view next_word(std::string_view& rest) {
    auto const begin = rest.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return rest = {};
    auto const end = std::min(rest.find_first_of(" \t", begin), rest.size());
    auto const word = rest.substr(begin, end - begin);
    rest.remove_prefix(end);
    return word;
}

std::optional<hashed_name> parse_hashed(std::string_view names) {
    names.remove_prefix(3); // "|1|"
    auto const bar = names.find('|');
    if (bar == std::string_view::npos) return std::nullopt;
    auto const salt = from_base64(names.substr(0, bar));
    auto const digest = from_base64(names.substr(bar + 1));
    if (!salt || !digest || salt->empty() || digest->size() != SHA_DIGEST_LENGTH)
        return std::nullopt;
    hashed_name out{keyed_sha1(*salt), {}};
    std::copy(digest->begin(), digest->end(), out.digest.begin());
    return out;
}

/// The type that stands inside the blob, when the blob is a whole key: strings, each after its
/// length (RFC 4253 §6.6).
std::optional<std::string_view> blob_type(std::string_view blob) {
    std::optional<std::string_view> type;
    int fields = 0;
    for (; !blob.empty(); ++fields) {
        if (blob.size() < 4) return std::nullopt;
        auto const at = [&](std::size_t i) {
            return static_cast<std::uint32_t>(static_cast<unsigned char>(blob[i]));
        };
        auto const length = at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3);
        if (length > blob.size() - 4) return std::nullopt;
        if (!type) type = blob.substr(4, length);
        blob.remove_prefix(4 + length);
    }
    return fields >= 2 ? type : std::nullopt;
}

SHA_CTX resume(std::array<std::uint32_t, 5> const& state) {
    SHA_CTX context;
    SHA1_Init(&context);
    context.h0 = state[0], context.h1 = state[1], context.h2 = state[2], context.h3 = state[3],
    context.h4 = state[4];
    context.Nl = SHA_CBLOCK * 8; // one block has been compressed
    return context;
}

std::array<std::uint32_t, 5> compress_key(std::array<unsigned char, SHA_CBLOCK> block,
                                          unsigned char pad) {
    for (auto& byte : block) byte = static_cast<unsigned char>(byte ^ pad);
    SHA_CTX context;
    SHA1_Init(&context);
    SHA1_Update(&context, block.data(), block.size());
    return {context.h0, context.h1, context.h2, context.h3, context.h4};
}

} // namespace

std::string record_name(std::string_view host, std::uint16_t port) {
    auto name = lower(host);
    return port == 22 ? name : "[" + name + "]:" + std::to_string(port);
}

bool wildcard_match(std::string_view pattern, std::string_view name) noexcept {
    // Greedy with one point of return: linear for the patterns people write, quadratic at worst.
    std::size_t p = 0, n = 0, star = std::string_view::npos, resume_at = 0;
    while (n < name.size()) {
        if (p < pattern.size() && pattern[p] == '*')
            star = p++, resume_at = n;
        else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n]))
            ++p, ++n;
        else if (star != std::string_view::npos)
            p = star + 1, n = ++resume_at;
        else
            return false;
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

keyed_sha1::keyed_sha1(std::string_view key) {
    std::array<unsigned char, SHA_CBLOCK> block{};
    if (key.size() > block.size())
        SHA1(reinterpret_cast<unsigned char const*>(key.data()), key.size(), block.data());
    else
        std::memcpy(block.data(), key.data(), key.size());
    inner_ = compress_key(block, 0x36); // RFC 2104 §2
    outer_ = compress_key(block, 0x5c);
}

std::array<unsigned char, 20> keyed_sha1::digest(std::string_view message) const {
    std::array<unsigned char, 20> out;
    auto context = resume(inner_);
    SHA1_Update(&context, message.data(), message.size());
    SHA1_Final(out.data(), &context);
    context = resume(outer_);
    SHA1_Update(&context, out.data(), out.size());
    SHA1_Final(out.data(), &context);
    return out;
}

bool known_entry::plain() const noexcept {
    return !hashed &&
           std::none_of(patterns.begin(), patterns.end(), [](std::string const& pattern) {
               return pattern.find_first_of("*?!") != std::string::npos;
           });
}

bool known_entry::applies_to(std::string_view name) const {
    if (hashed) return hashed->salt.digest(name) == hashed->digest;
    bool matched = false;
    for (std::string_view pattern : patterns) {
        bool const negated = pattern.front() == '!';
        if (negated) pattern.remove_prefix(1);
        if (!wildcard_match(pattern, name)) continue;
        if (negated) return false; // whatever else the line says
        matched = true;
    }
    return matched;
}

line_kind parse_line(std::string_view line, known_entry& into) {
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    auto names = next_word(line);
    if (names.empty() || names.front() == '#') return line_kind::nothing;
    into = {};
    if (names.front() == '@') {
        into.authority = names == "@cert-authority";
        into.revoked = names == "@revoked";
        if (!into.authority && !into.revoked) return line_kind::bad;
        names = next_word(line);
    }
    auto const type = next_word(line);
    auto blob = from_base64(next_word(line));
    if (names.empty() || type.empty() || !blob || blob_type(*blob) != type) return line_kind::bad;
    into.key = {std::string(type), std::move(*blob)};
    if (names.starts_with("|1|")) {
        into.hashed = parse_hashed(names);
        return into.hashed ? line_kind::entry : line_kind::bad;
    }
    if (names.front() == '|') return line_kind::bad; // a hash of a kind that does not exist yet
    while (!names.empty()) {
        auto const comma = std::min(names.find(','), names.size());
        if (auto const name = names.substr(0, comma); !name.empty() && name != "!")
            into.patterns.push_back(lower(name));
        names.remove_prefix(std::min(comma + 1, names.size()));
    }
    return into.patterns.empty() ? line_kind::bad : line_kind::entry;
}

std::string format_line(std::string_view name, host_key const& key) {
    return std::string(name) + " " + key.type + " " + to_base64(key.blob) + "\n";
}

} // namespace trawl::ssh::detail
