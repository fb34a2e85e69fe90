#pragma once

#include <trawl/sftp.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02) and of OpenSSH's extensions to it
/// (its file PROTOCOL, section 4), without I/O.
///
///     uint32 length | byte type | uint32 id | what the type says
///                   '------------- length bytes -------------'
namespace trawl::sftp::detail {

/// Packet types (§3).
enum class packet : std::uint8_t {
    init = 1,
    version = 2,
    open = 3,
    close = 4,
    read = 5,
    write = 6,
    lstat = 7,
    fstat = 8,
    setstat = 9,
    fsetstat = 10,
    opendir = 11,
    readdir = 12,
    remove = 13,
    mkdir = 14,
    rmdir = 15,
    realpath = 16,
    stat = 17,
    rename = 18,
    readlink = 19,
    symlink = 20,
    status = 101,
    handle = 102,
    data = 103,
    name = 104,
    attrs = 105,
    extended = 200,
    extended_reply = 201,
};

/// What OpenSSH's server sends at most; a longer packet is no SFTP (often it is the text of a
/// shell's start-up file).
inline constexpr std::size_t longest_packet = 256 * 1024;

/// Flags of SSH_FXP_OPEN (§6.3).
enum open_flag : std::uint32_t {
    open_read = 1,
    open_write = 2,
    open_create = 8,
    open_truncate = 16,
    open_exclusive = 32,
};

/// Builds one packet; what is appended stands in the order of the calls.
class packet_writer {
public:
    /// `before`: whole packets that this one follows.
    packet_writer(packet type, std::uint32_t id, std::string before = {});

    packet_writer& u32(std::uint32_t value);
    packet_writer& u64(std::uint64_t value);
    packet_writer& text(std::string_view bytes);
    packet_writer& attrs(attributes const& value);
    /// A string of the bytes that `fill` puts into a room of `most`: as many as it says.
    std::size_t text(std::size_t most, std::function<std::size_t(char*)> const& fill);

    /// The packet with its length in front, behind those before.
    std::string take();

private:
    std::string bytes_;
    std::size_t begin_;
};

/// Reads the parts of a packet. After the first part that is not there, all are empty and good() is
/// false.
class packet_reader {
public:
    explicit packet_reader(std::string_view bytes) noexcept : rest_(bytes) {}

    std::uint8_t byte();
    std::uint32_t u32();
    std::uint64_t u64();
    std::string_view text();
    attributes attrs();

    bool good() const noexcept { return good_; }
    bool at_end() const noexcept { return rest_.empty(); }

private:
    std::string_view take(std::size_t size);
    std::string_view rest_;
    bool good_ = true;
};

/// Cuts a stream into packets. Holds one unfinished packet at most.
class packet_stream {
public:
    /// Calls `whole` with each packet that is complete now, without its length. False when the
    /// stream is no SFTP: a length of less than 5 or more than longest_packet. Nothing is taken
    /// after that.
    bool feed(std::string_view bytes, std::function<void(std::string)> const& whole);

private:
    std::string head_; // of the length, less than 4 bytes
    std::string body_; // what is there of the packet
    std::size_t missing_ = 0;
    bool broken_ = false;
};

/// A packet from the server.
struct reply {
    packet type{};
    std::uint32_t id = 0;
    std::string bytes{}; ///< the whole packet, without its length
    std::string_view parts() const { return std::string_view(bytes).substr(5); }
};

/// nullopt when it is no reply (§7), or too short for one.
std::optional<reply> parse_reply(std::string packet);

struct status {
    std::uint32_t code = 0;
    std::string words{};
};

// Each is nullopt when the reply is of another type or malformed. What follows the known parts is
// ignored: servers of later drafts add to them.
std::optional<status> parse_status(reply const& from);
std::optional<std::string> parse_handle(reply const& from);
std::optional<std::string_view> parse_data(reply const& from); ///< a part of from.bytes
std::optional<attributes> parse_attributes(reply const& from);
std::optional<std::vector<entry>> parse_names(reply const& from);
std::optional<file_system> parse_file_system(reply const& from); ///< statvfs@openssh.com

/// The server's part of limits@openssh.com; 0: it does not say.
struct limits {
    std::uint64_t packet = 0, read = 0, write = 0, handles = 0;
};
std::optional<limits> parse_limits(reply const& from);

/// SSH_FXP_VERSION (§4).
struct version {
    std::uint32_t number = 0;
    std::map<std::string, std::string> extensions{}; ///< name and data
};
std::optional<version> parse_version(std::string_view packet);
std::string make_init();

/// True when `name` may be used as the name of a file in a folder: not empty, "." or "..", without
/// '/' and NUL.
bool safe_name(std::string_view name) noexcept;
/// Bytes of a path that a server lists (PATH_MAX): one that nests for ever comes to an end.
inline constexpr std::size_t longest_path = 4096;

} // namespace trawl::sftp::detail
