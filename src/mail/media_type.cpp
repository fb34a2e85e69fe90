#include "mail/media_type.hpp"

#include "mail/characters.hpp"
#include "mail/config.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#if TRAWL_MAGIC
#include <magic.h>
#endif

namespace trawl::mime::detail {
namespace {

std::string_view by_ending(std::string_view name) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 24> types{{
        {"csv", "text/csv"},
        {"eml", "message/rfc822"},
        {"gif", "image/gif"},
        {"gz", "application/gzip"},
        {"htm", "text/html"},
        {"html", "text/html"},
        {"ics", "text/calendar"},
        {"jpeg", "image/jpeg"},
        {"jpg", "image/jpeg"},
        {"json", "application/json"},
        {"log", "text/plain"},
        {"md", "text/markdown"},
        {"ndjson", "application/x-ndjson"},
        {"pdf", "application/pdf"},
        {"png", "image/png"},
        {"svg", "image/svg+xml"},
        {"tar", "application/x-tar"},
        {"tgz", "application/gzip"},
        {"toml", "application/toml"},
        {"txt", "text/plain"},
        {"webp", "image/webp"},
        {"xml", "application/xml"},
        {"zip", "application/zip"},
        {"zst", "application/zstd"},
    }};
    auto const dot = name.rfind('.');
    if (dot == std::string_view::npos) return {};
    auto const ending = lower(name.substr(dot + 1));
    auto const found = std::ranges::find(types, ending, [](auto const& t) { return t.first; });
    return found == types.end() ? std::string_view() : found->second;
}

#if TRAWL_MAGIC
/// libmagic's word for a file's first bytes; empty when it has none. Its tables are let go at once: a
/// look touches 7 MB of them, and to load them again costs half a millisecond.
std::string by_magic(std::string_view bytes) {
    std::unique_ptr<magic_set, decltype(&::magic_close)> const tables(::magic_open(MAGIC_MIME_TYPE),
                                                                      &::magic_close);
    if (!tables || ::magic_load(tables.get(), nullptr) != 0) return {};
    auto const* const word = ::magic_buffer(tables.get(), bytes.data(), bytes.size());
    return word ? word : "";
}
#endif

} // namespace

std::string type_of(std::string_view name, content const& bytes) {
    if (auto const known = by_ending(name); !known.empty()) return std::string(known);
    std::string type;
#if TRAWL_MAGIC
    std::array<char, 16384> begin;
    type = by_magic({begin.data(), bytes.open()->read(begin)});
#else
    (void)bytes;
#endif
    // A multipart or a message found inside a file of another name is bytes all the same.
    bool const taken = is_media_type(type) && !type.starts_with("multipart/") &&
                       !type.starts_with("message/") && !type.starts_with("inode/");
    return taken ? type : "application/octet-stream";
}

bool is_media_type(std::string_view type) {
    auto const slash = type.find('/');
    constexpr std::string_view others = "!#$%&'*+-.^_`{|}~";
    return slash != std::string_view::npos && type.size() <= 127 &&
           is_token(type.substr(0, slash), others) && is_token(type.substr(slash + 1), others);
}

} // namespace trawl::mime::detail
