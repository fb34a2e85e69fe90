#include "ssh/sftp_packets.hpp"

#include <algorithm>

namespace trawl::sftp::detail {
namespace {

// §5: what SSH_FXP_ATTRS holds.
constexpr std::uint32_t has_size = 1, has_owner = 2, has_permissions = 4, has_times = 8,
                        has_extended = 0x80000000;

void put(std::string& to, std::uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        to += static_cast<char>(value >> shift & 0xff);
}

void overwrite(std::string& in, std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) in[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

std::uint64_t number(std::string_view bytes) {
    std::uint64_t value = 0;
    for (unsigned char c : bytes) value = value << 8 | c;
    return value;
}

std::uint32_t narrow(std::size_t size) { return static_cast<std::uint32_t>(size); }

} // namespace

packet_writer::packet_writer(packet type, std::uint32_t id, std::string before)
    : bytes_(std::move(before)), begin_(bytes_.size()) {
    bytes_.append(4, '\0');
    bytes_ += static_cast<char>(type);
    u32(id);
}

packet_writer& packet_writer::u32(std::uint32_t value) { return put(bytes_, value, 4), *this; }
packet_writer& packet_writer::u64(std::uint64_t value) { return put(bytes_, value, 8), *this; }

packet_writer& packet_writer::text(std::string_view bytes) {
    u32(narrow(bytes.size()));
    bytes_ += bytes;
    return *this;
}

packet_writer& packet_writer::attrs(attributes const& a) {
    u32((a.size ? has_size : 0) | (a.owner ? has_owner : 0) |
        (a.permissions ? has_permissions : 0) | (a.times ? has_times : 0));
    if (a.size) u64(*a.size);
    if (a.owner) u32(a.owner->user).u32(a.owner->group);
    if (a.permissions) u32(*a.permissions);
    if (a.times) u32(a.times->access).u32(a.times->modification);
    return *this;
}

std::size_t packet_writer::text(std::size_t most, std::function<std::size_t(char*)> const& fill) {
    auto const at = bytes_.size() + 4;
    bytes_.resize(at + most);
    auto const size = fill(bytes_.data() + at);
    bytes_.resize(at + size);
    overwrite(bytes_, at - 4, narrow(size));
    return size;
}

std::string packet_writer::take() {
    overwrite(bytes_, begin_, narrow(bytes_.size() - begin_ - 4));
    return std::move(bytes_);
}

std::string_view packet_reader::take(std::size_t size) {
    if (size > rest_.size()) good_ = false;
    if (!good_) {
        rest_ = {};
        return {};
    }
    auto const piece = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return piece;
}

std::uint8_t packet_reader::byte() { return static_cast<std::uint8_t>(number(take(1))); }
std::uint32_t packet_reader::u32() { return static_cast<std::uint32_t>(number(take(4))); }
std::uint64_t packet_reader::u64() { return number(take(8)); }
std::string_view packet_reader::text() { return take(u32()); }

attributes packet_reader::attrs() {
    attributes a;
    auto const flags = u32();
    if (flags & has_size) a.size = u64();
    if (flags & has_owner) {
        auto const user = u32();
        a.owner = ownership{user, u32()};
    }
    if (flags & has_permissions) a.permissions = u32();
    if (flags & has_times) {
        auto const access = u32();
        a.times = file_times{access, u32()};
    }
    if (flags & has_extended)
        for (auto left = u32(); left > 0 && good_; --left) text(), text();
    return a;
}

bool packet_stream::feed(std::string_view bytes, std::function<void(std::string)> const& whole) {
    while (!bytes.empty() && !broken_) {
        if (missing_ == 0) {
            auto const more = std::min(4 - head_.size(), bytes.size());
            head_ += bytes.substr(0, more);
            bytes.remove_prefix(more);
            if (head_.size() < 4) break;
            missing_ = static_cast<std::size_t>(number(head_));
            head_.clear();
            broken_ = missing_ < 5 || missing_ > longest_packet;
            continue;
        }
        // A server may announce much and send little: memory follows what has come.
        if (body_.empty()) body_.reserve(std::min<std::size_t>(missing_, 64 * 1024));
        auto const more = std::min(missing_, bytes.size());
        body_ += bytes.substr(0, more);
        bytes.remove_prefix(more);
        missing_ -= more;
        if (missing_ == 0) whole(std::exchange(body_, {}));
    }
    return !broken_;
}

std::optional<reply> parse_reply(std::string packet) {
    packet_reader in(packet);
    reply found;
    found.type = static_cast<detail::packet>(in.byte());
    found.id = in.u32();
    bool const known = (found.type >= packet::status && found.type <= packet::attrs) ||
                       found.type == packet::extended_reply;
    if (!in.good() || !known) return std::nullopt;
    found.bytes = std::move(packet);
    return found;
}

std::optional<status> parse_status(reply const& from) {
    if (from.type != packet::status) return std::nullopt;
    packet_reader in(from.parts());
    status found;
    found.code = in.u32();
    if (!in.good()) return std::nullopt;
    found.words = in.text(); // some servers leave the words out
    return found;
}

std::optional<std::string> parse_handle(reply const& from) {
    if (from.type != packet::handle) return std::nullopt;
    packet_reader in(from.parts());
    std::string const found(in.text());
    if (!in.good() || found.size() > 256) return std::nullopt; // §6.3: at most 256 bytes
    return found;
}

std::optional<std::string_view> parse_data(reply const& from) {
    if (from.type != packet::data) return std::nullopt;
    packet_reader in(from.parts());
    auto const found = in.text();
    if (!in.good()) return std::nullopt;
    return found;
}

std::optional<attributes> parse_attributes(reply const& from) {
    if (from.type != packet::attrs) return std::nullopt;
    packet_reader in(from.parts());
    auto found = in.attrs();
    if (!in.good()) return std::nullopt;
    return found;
}

std::optional<std::vector<entry>> parse_names(reply const& from) {
    if (from.type != packet::name) return std::nullopt;
    packet_reader in(from.parts());
    std::vector<entry> found;
    for (auto left = in.u32(); left > 0; --left) {
        entry next;
        next.name = in.text();
        in.text(); // as `ls -l` shows it
        next.attrs = in.attrs();
        if (!in.good()) return std::nullopt;
        found.push_back(std::move(next));
    }
    if (!in.good()) return std::nullopt;
    return found;
}

std::optional<file_system> parse_file_system(reply const& from) {
    if (from.type != packet::extended_reply) return std::nullopt;
    packet_reader in(from.parts());
    file_system f;
    f.block_size = in.u64(), f.fragment_size = in.u64();
    f.blocks = in.u64(), f.free_blocks = in.u64(), f.available_blocks = in.u64();
    f.files = in.u64(), f.free_files = in.u64(), f.available_files = in.u64();
    in.u64(); // the file system's number
    auto const flags = in.u64();
    f.read_only = flags & 1;
    f.longest_name = in.u64();
    if (!in.good()) return std::nullopt;
    return f;
}

std::optional<limits> parse_limits(reply const& from) {
    if (from.type != packet::extended_reply) return std::nullopt;
    packet_reader in(from.parts());
    limits l;
    l.packet = in.u64(), l.read = in.u64(), l.write = in.u64(), l.handles = in.u64();
    if (!in.good()) return std::nullopt;
    return l;
}

std::optional<version> parse_version(std::string_view bytes) {
    packet_reader in(bytes);
    if (in.byte() != static_cast<std::uint8_t>(packet::version)) return std::nullopt;
    version found;
    found.number = in.u32();
    while (in.good() && !in.at_end()) {
        std::string name(in.text());
        std::string data(in.text());
        if (in.good()) found.extensions.emplace(std::move(name), std::move(data));
    }
    if (!in.good()) return std::nullopt;
    return found;
}

std::string make_init() {
    // The version stands where other packets have their id.
    return packet_writer(packet::init, 3).take();
}

bool safe_name(std::string_view name) noexcept {
    return !name.empty() && name != "." && name != ".." &&
           name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

} // namespace trawl::sftp::detail
