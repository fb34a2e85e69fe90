#include "backup/entry_line.hpp"
#include "backup/hash.hpp"
#include "backup/manifest.hpp"
#include "json/record.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

namespace trawl::backup::detail {

namespace bj = boost::json;

namespace {

bj::value hash_or_null(digest const& value) {
    return value ? bj::value(hex(value)) : bj::value(nullptr);
}

/// The header and the lists of blocks.
std::string head_of(manifest const& state) {
    bj::array chain;
    for (auto const& link : state.chain)
        chain.push_back(bj::object{{"kind", word(link.made)},
                                   {"created_ns", link.created_ns},
                                   {"archive", json::text(link.archive)},
                                   {"bytes", link.bytes},
                                   {"sha256", hash_or_null(link.archive_hash)},
                                   {"manifest", json::text(link.manifest)},
                                   {"manifest_sha256", hash_or_null(link.manifest_hash)}});
    bj::object header{{"format", 1},
                      {"name", json::text(state.name)},
                      {"kind", word(state.self().made)},
                      {"root", json::text(state.root)},
                      {"hash", name_of(state.algorithm)},
                      {"started_ns", state.started_ns},
                      {"chain", std::move(chain)}};
    auto text = bj::serialize(header) + '\n';
    for (auto const& link : state.chain)
        fmt::format_to(std::back_inserter(text), "{{\"blocks\":[{}],\"block_bytes\":{}}}\n",
                       fmt::join(link.blocks, ","), link.block_bytes);
    return text;
}

} // namespace

void serialize(manifest const& state, std::function<void(std::string_view)> const& take) {
    constexpr std::size_t piece_bytes = std::size_t(256) << 10;
    hasher sum(hash::sha256);
    auto text = head_of(state);
    auto const hand_over = [&](std::size_t least) {
        if (text.size() < least) return;
        sum.update(text);
        take(text);
        text.clear();
    };
    for (auto const& e : state.entries) put_entry(text, e), hand_over(piece_bytes);
    for (auto const& path : state.deleted) {
        text += bj::serialize(bj::object{{"deleted", json::text(path)}}) + '\n';
        hand_over(piece_bytes);
    }
    for (auto const& problem : state.errors) {
        bj::object line{{"error", json::text(problem.path)},
                        {"message", json::text(problem.message)}};
        text += bj::serialize(line) + '\n';
        hand_over(piece_bytes);
    }
    hand_over(0);
    auto const lines =
        1 + state.chain.size() + state.entries.size() + state.deleted.size() + state.errors.size();
    take(end_line(lines, sum.finish()));
}

std::string serialize(manifest const& state) {
    std::string text;
    serialize(state, [&text](std::string_view piece) { text += piece; });
    return text;
}

std::string end_line(std::uint64_t lines, digest const& sum) {
    return fmt::format("{{\"end\":true,\"lines\":{},\"sha256\":\"{}\"}}\n", lines, hex(sum));
}

} // namespace trawl::backup::detail
