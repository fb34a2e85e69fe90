#include "mail/dkim_canonical.hpp"

#include "mail/characters.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

namespace trawl::dkim::detail {
namespace {

void check(int ok) {
    if (ok != 1) throw std::runtime_error("dkim: OpenSSL refused SHA-256");
}

} // namespace

struct sha256::state {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ~state() { EVP_MD_CTX_free(context); }
};

sha256::sha256() : state_(std::make_unique<state>()) {
    check(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}
sha256::~sha256() = default;

void sha256::update(std::string_view bytes) {
    check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

sha256_value sha256::finish() {
    sha256_value value;
    unsigned size = 0;
    check(EVP_DigestFinal_ex(state_->context, value.data(), &size));
    return value;
}

std::string relaxed_field(std::string_view name, std::string_view value) {
    auto out = mime::detail::lower(name) + ':';
    bool blank = false, any = false;
    for (char const c : value) {
        if (c == '\r' || c == '\n') continue; // of a fold
        if (mime::detail::is_blank(c)) {
            blank = true;
            continue;
        }
        if (std::exchange(blank, false) && any) out += ' ';
        out += c;
        any = true;
    }
    return out;
}

void relaxed_body::flush(std::string& out) {
    for (; line_ends_ > 0; --line_ends_) out += "\r\n";
    if (std::exchange(blank_, false)) out += ' ';
    wrote_ = true;
}

void relaxed_body::write(std::string_view chunk, std::string& out) {
    constexpr auto stops = [](char c) { return c == '\r' || mime::detail::is_blank(c); };
    while (!chunk.empty()) {
        char const c = chunk.front();
        if (std::exchange(cr_, false)) {
            if (c == '\n') {
                blank_ = false; // none at a line's end
                ++line_ends_;
                chunk.remove_prefix(1);
                continue;
            }
            flush(out);
            out += '\r';
        }
        std::size_t end = 0;
        while (end < chunk.size() && !stops(chunk[end])) ++end;
        if (end > 0) {
            flush(out);
            out += chunk.substr(0, end);
        } else {
            (c == '\r' ? cr_ : blank_) = true;
            end = 1;
        }
        chunk.remove_prefix(end);
    }
}

void relaxed_body::finish(std::string& out) {
    if (std::exchange(cr_, false)) flush(out), out += '\r';
    if (wrote_) out += "\r\n"; // one ends the last line that holds anything
}

std::string signed_header(std::vector<mime::detail::raw_field> const& fields,
                          std::vector<std::string> const& names, std::string_view own_value) {
    std::string out;
    std::map<std::string, std::size_t> taken; // from the bottom
    for (auto const& wanted : names) {
        auto left = taken[mime::detail::lower(wanted)]++;
        auto const found = std::find_if(fields.rbegin(), fields.rend(), [&](auto const& f) {
            return mime::detail::equal_nocase(f.name, wanted) && left-- == 0;
        });
        if (found != fields.rend()) out += relaxed_field(found->name, found->value) + "\r\n";
    }
    return out + relaxed_field("DKIM-Signature", own_value);
}

} // namespace trawl::dkim::detail
