#include "backup/manifest.hpp"

#include "backup/entry_line.hpp"
#include "json/record.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>

namespace trawl::backup::detail {

namespace bj = boost::json;

entry const* manifest::find(std::string_view path) const noexcept {
    auto const at = place_of(entries, path);
    return at != entries.end() && at->path == path ? &*at : nullptr;
}

namespace {

constexpr std::string_view end_begins = "{\"end\"";

/// Thrown inside this file only: what is wrong with the line at hand.
struct complaint_of_line {
    std::string what;
};
[[noreturn]] void refuse(std::string what) { throw complaint_of_line{std::move(what)}; }

template <class Number>
Number number(bj::value const& value, char const* what) {
    bj::error_code ec;
    auto const n = value.to_number<Number>(ec);
    if (ec || value.is_double()) refuse(fmt::format("{} is no whole number in its range", what));
    return n;
}

std::string bytes_of(bj::value const& value, char const* what) {
    if (auto const* text = value.if_string()) return std::string(text->data(), text->size());
    auto const* object = value.if_object();
    auto const* coded = object && object->size() == 1 ? object->if_contains("b64") : nullptr;
    auto const* text = coded ? coded->if_string() : nullptr;
    if (!text || text->size() % 4 != 0) refuse(fmt::format("{} is no text", what));
    std::string bytes(text->size() / 4 * 3, '\0');
    auto const n = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   reinterpret_cast<unsigned char const*>(text->data()),
                                   static_cast<int>(text->size()));
    if (n < 0) refuse(fmt::format("{} is no base64", what));
    auto const padding = text->ends_with("==") ? 2u : text->ends_with("=") ? 1u : 0u;
    bytes.resize(static_cast<std::size_t>(n) - padding);
    return bytes;
}

bj::value const& member(bj::object const& object, char const* name) {
    auto const* value = object.if_contains(name);
    if (!value) refuse(fmt::format("\"{}\" is missing", name));
    return *value;
}

digest hash_of(bj::value const& value, std::size_t size, char const* what) {
    if (value.is_null()) return {};
    auto const parsed = value.is_string() ? from_hex(value.get_string(), size) : std::nullopt;
    if (!parsed) refuse(fmt::format("{} is no hash of its kind", what));
    return *parsed;
}

kind kind_of(bj::value const& value) {
    for (auto const made : {kind::full, kind::incremental, kind::differential})
        if (auto const* text = value.if_string(); text && *text == word(made)) return made;
    refuse("an unknown kind of backup");
}

/// A file name in the folder of the backups, never a way out of it.
std::string file_name(bj::value const& value, char const* what) {
    auto name = bytes_of(value, what);
    if (!is_clean(name) || name.find('/') != std::string::npos)
        refuse(fmt::format("{} is no file name", what));
    return name;
}

chain_link read_link(bj::value const& value) {
    if (!value.is_object()) refuse("a link of the chain is no object");
    auto const& object = value.get_object();
    chain_link link;
    link.made = kind_of(member(object, "kind"));
    link.created_ns = number<std::int64_t>(member(object, "created_ns"), "created_ns");
    link.archive = file_name(member(object, "archive"), "archive");
    link.bytes = number<std::uint64_t>(member(object, "bytes"), "bytes");
    link.archive_hash = hash_of(member(object, "sha256"), 32, "sha256");
    link.manifest = file_name(member(object, "manifest"), "manifest");
    link.manifest_hash = hash_of(member(object, "manifest_sha256"), 32, "manifest_sha256");
    return link;
}

void check_chain(std::vector<chain_link> const& chain) {
    for (std::size_t i = 0; i < chain.size(); ++i) {
        if ((chain[i].made == kind::full) != (i == 0))
            refuse("the chain does not begin with its full");
        if (chain[i].made == kind::differential && i != 1)
            refuse("a differential does not stand on its full");
        bool const last = i + 1 == chain.size();
        if (!chain[i].archive_hash || static_cast<bool>(chain[i].manifest_hash) == last)
            refuse("a link of the chain lacks a hash");
    }
}

void read_header(bj::value const& value, manifest& into) {
    if (!value.is_object()) refuse("the header is no object");
    auto const& object = value.get_object();
    if (number<int>(member(object, "format"), "format") != 1) refuse("an unknown format");
    into.name = file_name(member(object, "name"), "name");
    into.root = bytes_of(member(object, "root"), "root");
    auto const& algorithm = member(object, "hash");
    if (algorithm == "md5")
        into.algorithm = hash::md5;
    else if (algorithm != "sha256")
        refuse("an unknown hash");
    into.started_ns = number<std::int64_t>(member(object, "started_ns"), "started_ns");
    auto const& chain = member(object, "chain");
    if (!chain.is_array() || chain.get_array().empty()) refuse("the chain is empty");
    for (auto const& link : chain.get_array()) into.chain.push_back(read_link(link));
    check_chain(into.chain);
    if (kind_of(member(object, "kind")) != into.self().made) refuse("kind and chain differ");
}

stretch read_part(bj::value const& value, manifest const& state) {
    auto const* columns = value.if_array();
    if (!columns || columns->size() != 4) refuse("an odd part");
    stretch part;
    part.archive = number<std::uint32_t>((*columns)[0], "a part's archive");
    part.offset = number<std::uint64_t>((*columns)[1], "a part's offset");
    part.bytes = number<std::uint64_t>((*columns)[2], "a part's bytes");
    part.content = hash_of((*columns)[3], size_of(state.algorithm), "a part's hash");
    return part;
}

void read_more(bj::object const& object, manifest const& state, entry& into) {
    for (auto const& [key, value] : object) {
        if (key == "to" && into.type == file_type::symlink)
            into.link = bytes_of(value, "to");
        else if (key == "link" && into.type == file_type::regular)
            into.link = bytes_of(value, "link"), into.hard_link = true;
        else if (key == "device")
            into.device = number<std::uint64_t>(value, "device");
        else if (key == "stored" && into.has_content())
            into.stored = number<std::uint64_t>(value, "stored");
        else if (key == "parts" && value.is_array() && value.get_array().size() <= most_parts) {
            for (auto const& part : value.get_array()) into.parts.push_back(read_part(part, state));
        } else if (key == "attributes" && value.is_array()) {
            for (auto const& pair : value.get_array()) {
                if (!pair.is_array() || pair.get_array().size() != 2) refuse("an odd attribute");
                into.attributes.emplace_back(bytes_of(pair.get_array()[0], "attribute"),
                                             bytes_of(pair.get_array()[1], "attribute"));
            }
        } else
            refuse("an unknown or misplaced member of an entry");
    }
}

entry read_entry(bj::array const& line, manifest const& state) {
    if (line.size() != 13 && line.size() != 14) refuse("an entry has the wrong number of columns");
    entry e;
    e.path = bytes_of(line[0], "path");
    auto const* type = line[1].if_string();
    if (!type || type->size() != 1 ||
        std::string_view("fdlpcbs").find(type->front()) == std::string_view::npos)
        refuse("an unknown type");
    e.type = static_cast<file_type>(type->front());
    e.mode = number<std::uint32_t>(line[2], "mode");
    e.uid = number<std::uint32_t>(line[3], "uid");
    e.gid = number<std::uint32_t>(line[4], "gid");
    e.size = number<std::uint64_t>(line[5], "size");
    e.mtime_ns = number<std::int64_t>(line[6], "mtime_ns");
    e.ctime_ns = number<std::int64_t>(line[7], "ctime_ns");
    e.inode = number<std::uint64_t>(line[8], "inode");
    e.content = hash_of(line[9], size_of(state.algorithm), "hash");
    if (!line[10].is_null()) {
        e.archive = number<std::uint32_t>(line[10], "archive");
        e.offset = number<std::uint64_t>(line[11], "offset");
    } else if (!line[11].is_null())
        refuse("an offset without an archive");
    e.flags = number<std::uint32_t>(line[12], "flags");
    if (line.size() == 14) {
        if (!line[13].is_object()) refuse("the last column is no object");
        read_more(line[13].get_object(), state, e);
    }
    return e;
}

/// What restore relies on: paths stay inside, parents are folders, links lead to content.
void check_place(entry const& e, manifest const& state) {
    if (state.entries.empty()) {
        if (!e.path.empty() || e.type != file_type::folder) refuse("the root is missing");
    } else {
        if (!is_clean(e.path)) refuse("a path that leads elsewhere");
        if (!path_before(state.entries.back().path, e.path)) refuse("a path out of order");
        auto const& before = state.entries.back();
        auto const folder = parent_of(e.path);
        bool const beside = !before.path.empty() && folder == parent_of(before.path);
        if (!beside) { // else the one before has told already
            auto const* parent = folder == before.path ? &before : state.find(folder);
            if (!parent || parent->type != file_type::folder) refuse("an entry without its folder");
        }
    }
    if (e.hard_link) {
        auto const* leader = state.find(e.link);
        if (!leader || !leader->has_content()) refuse("a hard link without its file");
    }
}

/// Each part in a later archive than the one before, the last one where the columns say.
void check_parts(entry const& e) {
    if (e.parts.empty()) return;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < e.parts.size(); ++i) {
        auto const& part = e.parts[i];
        if (!part.content || part.bytes == 0 || part.bytes > e.size - bytes)
            refuse("parts that are not the whole");
        if (i > 0 && part.archive <= e.parts[i - 1].archive) refuse("parts out of order");
        bytes += part.bytes;
    }
    auto const& last = e.parts.back();
    if (!e.has_content() || e.stored != 0 || e.parts.size() < 2 || bytes != e.size ||
        last.archive != e.archive || last.offset != e.offset)
        refuse("parts that are not the whole");
}

/// What an entry says by itself: its content is in the chain.
void check_entry(entry const& e, manifest const& state) {
    if (e.mode > 07777) refuse("a mode beyond 07777");
    if (e.has_content() != static_cast<bool>(e.content) ||
        e.has_content() != (e.archive != no_archive))
        refuse("hash, archive and type do not agree");
    check_parts(e);
    for_each_stretch(e, [&state](stretch const& s) {
        if (s.archive >= state.chain.size()) refuse("an archive that is not in the chain");
        auto const plain = state.chain[s.archive].plain_bytes();
        if (s.offset > plain || s.bytes > plain - s.offset)
            refuse("content beyond the end of its archive");
    });
    if (e.type == file_type::symlink && e.link.empty()) refuse("a symbolic link to nothing");
}

/// A reader holds a block in memory; ours have 4 MiB at most.
constexpr std::uint64_t most_block_bytes = 64u << 20;

void read_blocks(bj::value const& value, chain_link& into) {
    if (!value.is_object()) refuse("a list of blocks is missing");
    auto const& object = value.get_object();
    into.block_bytes = number<std::uint64_t>(member(object, "block_bytes"), "block_bytes");
    auto const& blocks = member(object, "blocks");
    if (!blocks.is_array()) refuse("blocks are no list");
    std::uint64_t bytes = 0;
    into.blocks.reserve(blocks.get_array().size());
    for (auto const& size : blocks.get_array()) {
        into.blocks.push_back(number<std::uint32_t>(size, "a block"));
        bytes += into.blocks.back();
    }
    if (bytes > into.bytes || into.block_bytes == 0 || into.block_bytes > most_block_bytes)
        refuse("blocks that do not fit their archive");
}

void add_entry(entry e, manifest& into) {
    if (!into.deleted.empty() || !into.errors.empty()) refuse("an entry out of order");
    check_entry(e, into);
    check_place(e, into);
    into.entries.push_back(std::move(e));
}

void read_line(bj::value const& value, manifest& into) {
    if (auto const* line = value.if_array()) return add_entry(read_entry(*line, into), into);
    auto const* object = value.if_object();
    if (!object) refuse("neither an entry nor a note");
    if (auto const* path = object->if_contains("deleted"))
        return into.deleted.push_back(bytes_of(*path, "deleted"));
    into.errors.push_back({bytes_of(member(*object, "error"), "error"),
                           bytes_of(member(*object, "message"), "message")});
}

bj::value parse_line(std::string_view line, bj::storage_ptr memory) {
    bj::error_code ec;
    auto value = bj::parse(line, ec, std::move(memory));
    if (ec) refuse("no JSON: " + ec.message());
    return value;
}

} // namespace

std::optional<manifest> parse_header(std::string_view first_line, std::string& complaint) try {
    manifest state;
    read_header(parse_line(first_line, {}), state);
    return state;
} catch (complaint_of_line const& reason) {
    complaint = "line 1: " + reason.what;
    return std::nullopt;
}

std::optional<manifest> parse_manifest(std::string_view bytes, std::string& complaint) {
    manifest_parser parser;
    parser.feed(bytes);
    return parser.finish(complaint);
}

void manifest_parser::feed(std::string_view bytes) try {
    if (!complaint_.empty()) return;
    if (!carried_.empty()) {
        auto const end = bytes.find('\n');
        carried_ += bytes.substr(0, end);
        if (end == std::string_view::npos) return;
        take_line(carried_);
        sum_.update(carried_ += '\n');
        carried_.clear();
        bytes.remove_prefix(end + 1);
    }
    std::size_t begin = 0; // of the line; up to there the sum has not got what is before
    for (auto end = bytes.find('\n'); end != std::string_view::npos;
         end = bytes.find('\n', begin)) {
        auto const line = bytes.substr(begin, end - begin);
        if (line.starts_with(end_begins)) {
            sum_.update(bytes.substr(0, begin));
            bytes.remove_prefix(begin);
            end -= begin;
            begin = 0;
        }
        take_line(line);
        begin = end + 1;
    }
    sum_.update(bytes.substr(0, begin));
    carried_ = bytes.substr(begin);
} catch (complaint_of_line const& reason) {
    complaint_ = fmt::format("line {}: {}", lines_ + 1, reason.what);
}

std::optional<manifest> manifest_parser::finish(std::string& complaint) {
    if (complaint_.empty() && (!ended_ || !carried_.empty()))
        complaint_ = fmt::format("line {}: the file ends too early", lines_ + 1);
    if (complaint_.empty() && state_.entries.empty()) complaint_ = "line 1: no entries";
    if (complaint_.empty()) return std::move(state_);
    complaint = complaint_;
    return std::nullopt;
}

void manifest_parser::take_line(std::string_view line) {
    if (ended_) refuse("something behind the end");
    if (line.starts_with(end_begins)) {
        auto const expected = end_line(lines_, sum_.so_far());
        if (line != std::string_view(expected).substr(0, expected.size() - 1))
            refuse("the checksum or the number of lines does not agree");
        ended_ = true;
        return;
    }
    entry e;
    bool const in_entries = lines_ > state_.chain.size() && lines_ > 0;
    if (in_entries && read_plain_entry(line, size_of(state_.algorithm), e))
        add_entry(std::move(e), state_);
    else
        take_json(line);
    ++lines_;
}

void manifest_parser::take_json(std::string_view line) {
    unsigned char scratch[8192];
    bj::monotonic_resource memory(scratch, sizeof scratch);
    auto const value = parse_line(line, &memory);
    if (lines_ == 0)
        read_header(value, state_);
    else if (lines_ <= state_.chain.size())
        read_blocks(value, state_.chain[lines_ - 1]);
    else
        read_line(value, state_);
}

namespace {

/// Cuts the first line off; refuses when there is none.
std::string_view take_line(std::string_view& from) {
    auto const end = from.find('\n');
    if (end == std::string_view::npos) refuse("the file ends too early");
    auto const line = from.substr(0, end);
    from.remove_prefix(end + 1);
    return line;
}

} // namespace

std::optional<manifest> parse_head(std::string_view bytes, std::string_view& rest,
                                   std::string& complaint) {
    manifest state;
    std::size_t lines = 0;
    try {
        read_header(parse_line(take_line(bytes), {}), state);
        for (++lines; lines <= state.chain.size(); ++lines)
            read_blocks(parse_line(take_line(bytes), {}), state.chain[lines - 1]);
    } catch (complaint_of_line const& reason) {
        complaint = fmt::format("line {}: {}", lines + 1, reason.what);
        return std::nullopt;
    }
    rest = bytes;
    return state;
}

std::optional<entry> find_entry(std::string_view rest, manifest const& head, std::string_view path,
                                std::string& complaint) try {
    while (!rest.empty()) {
        // The line that the middle lies in, from its begin.
        auto const before = rest.substr(0, rest.size() / 2).rfind('\n');
        auto const begin = before == std::string_view::npos ? 0 : before + 1;
        auto beyond = rest.substr(begin);
        auto const line = take_line(beyond);
        if (line.starts_with('[')) {
            auto const value = parse_line(line, {});
            auto e = read_entry(value.get_array(), head);
            check_entry(e, head);
            if (e.path == path) return e;
            if (path_before(e.path, path)) {
                rest = beyond;
                continue;
            }
        } // else: beyond the last entry
        rest = rest.substr(0, begin);
    }
    return std::nullopt;
} catch (complaint_of_line const& reason) {
    complaint = reason.what;
    return std::nullopt;
}

} // namespace trawl::backup::detail
