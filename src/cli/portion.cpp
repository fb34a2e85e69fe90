#include "cli/portion.hpp"

#include <fmt/format.h>

#include <charconv>

namespace trawl::cli {
namespace {

std::string text_of(std::uint64_t fingerprint) { return fmt::format("{:016x}", fingerprint); }

std::optional<std::uint64_t> fingerprint_of(boost::json::value const* text) {
    if (!text || !text->is_string() || text->get_string().size() != 16) return {};
    auto const& digits = text->get_string();
    std::uint64_t read = 0;
    auto const end = digits.data() + digits.size();
    auto const [stop, failure] = std::from_chars(digits.data(), end, read, 16);
    if (failure != std::errc() || stop != end) return {};
    return read;
}

std::string text_of(std::optional<std::uint64_t> seed) {
    return seed ? fmt::format("seed {}", *seed) : "no seed";
}

} // namespace

std::optional<std::uint64_t> whole_number(boost::json::object const& from, std::string_view name) {
    auto const* value = from.if_contains(name);
    if (!value) return {};
    if (value->is_uint64()) return value->get_uint64();
    if (value->is_int64() && value->get_int64() >= 0)
        return static_cast<std::uint64_t>(value->get_int64());
    return {};
}

void portion::describe(json::record& made) const {
    boost::json::object shard;
    shard["index"] = part.index;
    shard["count"] = part.count;
    made.field("shard", boost::json::value(std::move(shard)));
    if (seed)
        made.field("seed", *seed);
    else
        made.field("seed", nullptr);
    made.field("list", text_of(list));
}

std::optional<portion> portion::read(boost::json::object const& from) {
    auto const* shard = from.if_contains("shard");
    auto const* seed = from.if_contains("seed");
    auto const list = fingerprint_of(from.if_contains("list"));
    if (!shard || !shard->is_object() || !seed || !list) return {};
    auto const index = whole_number(shard->get_object(), "index");
    auto const count = whole_number(shard->get_object(), "count");
    portion found;
    if (!seed->is_null() && !(found.seed = whole_number(from, "seed"))) return {};
    if (!index || !count || *index >= *count) return {};
    found.list = *list;
    found.part = {*index, *count};
    return found;
}

std::string portion::unlike_sweep(portion const& other) const {
    if (other.list != list)
        return fmt::format("targets {} instead of {}", text_of(other.list), text_of(list));
    if (other.seed != seed)
        return fmt::format("{} instead of {}", text_of(other.seed), text_of(seed));
    if (other.part.count != part.count)
        return fmt::format("{} shards instead of {}", other.part.count, part.count);
    return {};
}

} // namespace trawl::cli
