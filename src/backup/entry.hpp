#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::backup::detail {

/// The letter that stands for it in a manifest.
enum class file_type : char {
    regular = 'f',
    folder = 'd',
    symlink = 'l',
    fifo = 'p',
    character = 'c',
    block = 'b',
    socket = 's',
};

/// A SHA-256 (32 bytes) or MD5 (16); size 0: none.
struct digest {
    std::array<unsigned char, 32> bytes{};
    std::uint8_t size = 0;

    explicit operator bool() const noexcept { return size != 0; }
    bool operator==(digest const&) const = default;
};

/// `archive` of an entry without content of its own.
inline constexpr std::uint32_t no_archive = std::numeric_limits<std::uint32_t>::max();

/// Bits of entry::flags.
inline constexpr std::uint32_t flag_unsettled = 1; ///< changed while it was read, stored as read
inline constexpr std::uint32_t flag_stale = 2;     ///< not readable now: as in an earlier backup
inline constexpr std::uint32_t flag_partial = 4;   ///< stored only as far as it could be read

/// Bytes of a content that lie in one archive in a row.
struct stretch {
    std::uint32_t archive = no_archive; ///< of the chain
    std::uint64_t offset = 0;           ///< in its plain tar stream
    std::uint64_t bytes = 0;
    digest content; ///< of these bytes alone
};

/// A file in so many parts is stored whole when it grows again.
inline constexpr std::size_t most_parts = 64;

/// One object of the source, as a manifest line and a tar member describe it.
struct entry {
    std::string path; ///< relative to the source, raw bytes; the source itself is ""
    file_type type = file_type::regular;
    bool hard_link = false; ///< `link` is the path, earlier than this one, that holds the content
    std::uint32_t mode = 0; ///< permission bits, 07777
    std::uint32_t uid = 0, gid = 0;
    std::uint32_t archive = no_archive; ///< which archive of the chain holds the content
    std::uint64_t offset = 0; ///< of the content's first byte in that archive's plain tar stream
    std::uint64_t stored = 0; ///< sparse: its bytes there, map and data; 0: `size`, as it is
    std::uint32_t flags = 0;
    std::uint64_t size = 0; ///< of regular files, else 0
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0; ///< of character and block devices
    digest content;           ///< of regular files that are no hard link; sparse: as stored
    std::string link;         ///< target of a symlink, leader of a hard link
    std::vector<std::pair<std::string, std::string>> attributes; ///< extended ones, sorted
    /// Of a file that grew, whose tails are in later archives: all of them, in order; `archive` and
    /// `offset` are those of the last. Empty: the content is in one.
    std::vector<stretch> parts;

    bool has_content() const noexcept { return type == file_type::regular && !hard_link; }
};

/// Calls each(STRETCH) for where the content lies, in order.
template <class Each>
void for_each_stretch(entry const& e, Each each) {
    if (!e.has_content()) return;
    if (e.parts.empty())
        each(stretch{e.archive, e.offset, e.stored ? e.stored : e.size, e.content});
    for (auto const& part : e.parts) each(part);
}

/// Its content is where that of `from` is.
inline void take_content(entry& into, entry const& from) {
    into.content = from.content;
    into.archive = from.archive;
    into.offset = from.offset;
    into.stored = from.stored;
    into.parts = from.parts;
}

/// "a/b" of "a/b/c", "" of "a".
inline std::string_view parent_of(std::string_view path) noexcept {
    auto const slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}
inline std::string_view leaf_of(std::string_view path) noexcept {
    auto const slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

/// The order of manifests and archives: by bytes, '/' before all others. A folder's content follows
/// right behind it, which GNU tar needs to give folders their times.
inline bool path_before(std::string_view a, std::string_view b) noexcept {
    auto const [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    if (x == a.end() || y == b.end()) return y != b.end();
    auto const rank = [](char c) { return c == '/' ? -1 : int(static_cast<unsigned char>(c)); };
    return rank(*x) < rank(*y);
}

/// The entry of `path`, or where it would stand.
inline std::vector<entry>::const_iterator place_of(std::vector<entry> const& sorted,
                                                   std::string_view path) noexcept {
    return std::lower_bound(
        sorted.begin(), sorted.end(), path,
        [](entry const& e, std::string_view p) { return path_before(e.path, p); });
}

/// True when `path` is `folder` or lies beneath it.
inline bool is_within(std::string_view path, std::string_view folder) noexcept {
    if (folder.empty() || path == folder) return true;
    return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// True for a path that stays where it is put: relative, no empty, "." or ".." component, no NUL.
inline bool is_clean(std::string_view path) noexcept {
    if (path.find('\0') != std::string_view::npos) return false;
    for (std::size_t begin = 0; begin <= path.size();) {
        auto const end = std::min(path.find('/', begin), path.size());
        auto const part = path.substr(begin, end - begin);
        if (part.empty() || part == "." || part == "..") return false;
        begin = end + 1;
    }
    return true;
}

} // namespace trawl::backup::detail
