#include "backup/archive.hpp"

#include "backup/files.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>

#include <grp.h>
#include <locale.h>
#include <pwd.h>
#include <sys/sysmacros.h>

namespace trawl::backup::detail {

namespace {

/// libarchive converts names by the thread's locale. Writing wants UTF-8 (a name that is not goes
/// out as hdrcharset=BINARY); reading wants "C", because under UTF-8 it would turn decomposed names
/// into composed ones.
class locale_scope {
public:
    explicit locale_scope(locale_t chosen) : before_(::uselocale(chosen)) {}
    locale_scope(locale_scope const&) = delete;
    ~locale_scope() { ::uselocale(before_); }

    static locale_t utf8() {
        static locale_t const made = make("C.UTF-8");
        return made;
    }
    static locale_t plain() {
        static locale_t const made = make("C");
        return made;
    }

private:
    static locale_t make(char const* name) {
        auto const made = ::newlocale(LC_CTYPE_MASK, name, nullptr);
        if (!made) throw std::runtime_error(std::string("backup: no locale ") + name);
        return made;
    }
    locale_t before_;
};

std::string reason(::archive* from) {
    auto const* text = ::archive_error_string(from);
    return text ? text : "unknown reason";
}

/// libarchive writes "SECONDS.NANOSECONDS" without a thought to the sign: before 1970 the fraction
/// has to count downwards. In the second before 1970 there is no such form; the whole second it is.
timespec decimal_time(std::int64_t ns) {
    constexpr std::int64_t second = 1'000'000'000;
    if (ns >= 0 || ns % second == 0) return to_timespec(ns);
    if (ns > -second) return {-1, 0};
    return {static_cast<time_t>(ns / second), static_cast<long>(-(ns % second))};
}

struct free_writer {
    void operator()(::archive* p) const noexcept { ::archive_write_free(p); }
};
struct free_reader {
    void operator()(::archive* p) const noexcept { ::archive_read_free(p); }
};
struct free_header {
    void operator()(::archive_entry* p) const noexcept { ::archive_entry_free(p); }
};

unsigned kind_of(entry const& e) {
    switch (e.type) {
    case file_type::folder: return AE_IFDIR;
    case file_type::symlink: return AE_IFLNK;
    case file_type::fifo: return AE_IFIFO;
    case file_type::character: return AE_IFCHR;
    case file_type::block: return AE_IFBLK;
    case file_type::socket: return AE_IFSOCK;
    case file_type::regular: break;
    }
    return AE_IFREG;
}

std::uint32_t little_endian(std::string_view bytes) {
    std::uint32_t value = 0;
    for (auto at = bytes.rbegin(); at != bytes.rend(); ++at)
        value = value << 8 | static_cast<unsigned char>(*at);
    return value;
}

/// The kernel's form of an ACL, as its extended attribute has it (linux/posix_acl_xattr.h): version
/// 2, then tag, permissions and id of each entry. GNU tar wants it as SCHILY.acl.*, in words. False
/// when it is not of that form.
bool add_acl(::archive_entry* h, std::string_view value, int type) {
    constexpr std::size_t head = 4, each = 8;
    if (value.size() < head || (value.size() - head) % each != 0 ||
        little_endian(value.substr(0, head)) != 2)
        return false;
    for (auto at = head; at < value.size(); at += each) {
        int tag = 0;
        switch (little_endian(value.substr(at, 2))) {
        case 0x01: tag = ARCHIVE_ENTRY_ACL_USER_OBJ; break;
        case 0x02: tag = ARCHIVE_ENTRY_ACL_USER; break;
        case 0x04: tag = ARCHIVE_ENTRY_ACL_GROUP_OBJ; break;
        case 0x08: tag = ARCHIVE_ENTRY_ACL_GROUP; break;
        case 0x10: tag = ARCHIVE_ENTRY_ACL_MASK; break;
        case 0x20: tag = ARCHIVE_ENTRY_ACL_OTHER; break;
        default: return false;
        }
        bool const named = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
        auto const permissions = static_cast<int>(little_endian(value.substr(at + 2, 2)) & 7);
        auto const id = named ? static_cast<int>(little_endian(value.substr(at + 4, 4))) : -1;
        ::archive_entry_acl_add_entry(h, type, permissions, tag, id, nullptr);
    }
    return true;
}

void add_attribute(::archive_entry* h, std::string const& name, std::string const& value) {
    if (name == "system.posix_acl_access" && add_acl(h, value, ARCHIVE_ENTRY_ACL_TYPE_ACCESS))
        return;
    if (name == "system.posix_acl_default" && add_acl(h, value, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT))
        return;
    ::archive_entry_xattr_add_entry(h, name.c_str(), value.data(), value.size());
}

} // namespace

struct tar_writer::state {
    explicit state(std::string& out) : out_(out) {
        if (!writer || !header) throw std::bad_alloc();
        check(::archive_write_set_format_pax(writer.get()));
        check(::archive_write_set_format_option(writer.get(), "pax", "xattrheader", "SCHILY"));
        check(
            ::archive_write_set_bytes_per_block(writer.get(), 0)); // no copy, no padding to 10 KiB
        check(::archive_write_open(writer.get(), this, nullptr, &state::take, nullptr));
    }
    state(state const&) = delete;
    /// An archive that was not finished stays so: what closing would add to it is refused. Without
    /// closing (archive_write_fail) libarchive leaks its output block.
    ~state() {
        refuse = true;
        ::archive_write_close(writer.get());
    }
    void check(int result) {
        if (result < ARCHIVE_WARN) throw std::runtime_error(reason(writer.get()));
    }
    static la_ssize_t take(::archive*, void* self, void const* bytes, std::size_t size) try {
        auto& s = *static_cast<state*>(self);
        if (s.refuse) return -1;
        s.out_.append(static_cast<char const*>(bytes), size);
        return static_cast<la_ssize_t>(size);
    } catch (std::bad_alloc const&) {
        return -1;
    }

    std::unique_ptr<::archive, free_writer> writer{::archive_write_new()};
    std::unique_ptr<::archive_entry, free_header> header{::archive_entry_new()};
    std::string& out_;
    bool refuse = false;
};

tar_writer::tar_writer() : state_(std::make_unique<state>(pending_)) {}
tar_writer::~tar_writer() = default;

bool tar_writer::begin(entry const& what, std::vector<extent> const* map) {
    if (what.type == file_type::socket) return false;
    locale_scope const names(locale_scope::utf8());
    auto* h = ::archive_entry_clear(state_->header.get());
    ::archive_entry_set_pathname(h, what.path.empty() ? "." : what.path.c_str());
    ::archive_entry_set_filetype(h, kind_of(what));
    ::archive_entry_set_uid(h, what.uid);
    ::archive_entry_set_gid(h, what.gid);
    auto const mtime = decimal_time(what.mtime_ns); // atime and ctime would change with each run
    ::archive_entry_set_mtime(h, mtime.tv_sec, mtime.tv_nsec);
    ::archive_entry_set_size(h, what.has_content() ? static_cast<la_int64_t>(what.size) : 0);
    if (what.hard_link) ::archive_entry_set_hardlink(h, what.link.c_str());
    if (what.type == file_type::symlink) ::archive_entry_set_symlink(h, what.link.c_str());
    if (what.device != 0) {
        ::archive_entry_set_rdevmajor(h, major(what.device));
        ::archive_entry_set_rdevminor(h, minor(what.device));
    }
    // An ACL's entry for the group replaces the mode's bits, which show its mask.
    ::archive_entry_set_perm(h, static_cast<__LA_MODE_T>(what.mode));
    for (auto const& [name, value] : what.attributes) add_attribute(h, name, value);
    if (map) {
        for (auto const& [offset, size] : *map)
            ::archive_entry_sparse_add_entry(h, static_cast<la_int64_t>(offset),
                                             static_cast<la_int64_t>(size));
        // An empty map is for libarchive a file without holes.
        if (map->empty()) ::archive_entry_sparse_add_entry(h, 0, 0);
    }
    state_->check(::archive_write_header(state_->writer.get(), h));
    return true;
}

void tar_writer::data(std::string_view bytes) {
    while (!bytes.empty()) {
        auto const n = ::archive_write_data(state_->writer.get(), bytes.data(), bytes.size());
        if (n <= 0) throw std::runtime_error(reason(state_->writer.get()));
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void tar_writer::finish() { state_->check(::archive_write_close(state_->writer.get())); }

struct tar_reader::state {
    explicit state(stored_file const& from) : file(from) {
        if (!reader) throw std::bad_alloc();
        locale_scope const names(locale_scope::plain());
        check(::archive_read_support_filter_gzip(reader.get()));
        check(::archive_read_support_filter_zstd(reader.get()));
        check(::archive_read_support_format_tar(reader.get()));
        check(::archive_read_open(reader.get(), this, nullptr, &state::give, nullptr));
    }
    static la_ssize_t give(::archive* to, void* self, void const** bytes) {
        auto& s = *static_cast<state*>(self);
        try {
            auto const n = s.file.read(s.at, s.buffer);
            s.at += n;
            *bytes = s.buffer.data();
            return static_cast<la_ssize_t>(n);
        } catch (...) {
            s.failure = std::current_exception();
        }
        ::archive_set_error(to, EIO, "cannot be read");
        return -1;
    }
    void check(int result) {
        if (failure) std::rethrow_exception(failure);
        if (result < ARCHIVE_WARN) throw std::runtime_error(reason(reader.get()));
    }

    stored_file const& file;
    std::uint64_t at = 0; ///< of the file
    std::string buffer = std::string(256 * 1024, '\0');
    std::exception_ptr failure;
    std::unique_ptr<::archive, free_reader> reader{::archive_read_new()};
    void const* piece = nullptr;
    std::size_t piece_size = 0;
    std::uint64_t piece_at = 0; ///< offset of the piece in the content
    std::uint64_t given = 0, size = 0;
    std::string zeros;
};

tar_reader::tar_reader(stored_file const& file) : state_(std::make_unique<state>(file)) {}
tar_reader::~tar_reader() = default;

namespace {

std::string plain_name(char const* text) {
    std::string name = text ? text : "";
    while (name.size() > 1 && name.ends_with('/')) name.pop_back();
    if (name == ".") name.clear();
    if (name.starts_with("./")) name.erase(0, 2);
    return name;
}

/// False for a type that no entry has.
bool set_type(entry& e, unsigned kind) {
    switch (kind) {
    case AE_IFREG: e.type = file_type::regular; return true;
    case AE_IFDIR: e.type = file_type::folder; return true;
    case AE_IFLNK: e.type = file_type::symlink; return true;
    case AE_IFIFO: e.type = file_type::fifo; return true;
    case AE_IFCHR: e.type = file_type::character; return true;
    case AE_IFBLK: e.type = file_type::block; return true;
    default: return false;
    }
}

void put_little_endian(std::string& to, std::uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> 8 * i & 0xff);
}

/// The number of a user or a group; -1 for a name that is none here.
int id_of(char const* name, bool group) {
    char buffer[4096];
    if (group) {
        ::group found{}, *result = nullptr;
        bool const is = name && ::getgrnam_r(name, &found, buffer, sizeof buffer, &result) == 0;
        return is && result ? static_cast<int>(found.gr_gid) : -1;
    }
    ::passwd found{}, *result = nullptr;
    bool const is = name && ::getpwnam_r(name, &found, buffer, sizeof buffer, &result) == 0;
    return is && result ? static_cast<int>(found.pw_uid) : -1;
}

/// The other way of add_acl(); the kernel wants the entries by tag and id.
void read_acl(::archive_entry* h, int type, char const* attribute, entry& into) {
    struct part {
        std::uint32_t tag, id, permissions;
        auto operator<=>(part const&) const = default;
    };
    std::vector<part> parts;
    int found = 0, permissions = 0, tag = 0, id = 0;
    char const* name = nullptr;
    if (::archive_entry_acl_reset(h, type) <= 0) return;
    while (::archive_entry_acl_next(h, type, &found, &permissions, &tag, &id, &name) ==
           ARCHIVE_OK) {
        std::uint32_t kernel = 0;
        switch (tag) {
        case ARCHIVE_ENTRY_ACL_USER_OBJ: kernel = 0x01; break;
        case ARCHIVE_ENTRY_ACL_USER: kernel = 0x02; break;
        case ARCHIVE_ENTRY_ACL_GROUP_OBJ: kernel = 0x04; break;
        case ARCHIVE_ENTRY_ACL_GROUP: kernel = 0x08; break;
        case ARCHIVE_ENTRY_ACL_MASK: kernel = 0x10; break;
        case ARCHIVE_ENTRY_ACL_OTHER: kernel = 0x20; break;
        default: return;
        }
        bool const named = kernel == 0x02 || kernel == 0x08;
        if (named && id < 0) id = id_of(name, kernel == 0x08);
        if (named && id < 0) continue; // nobody here has that name
        parts.push_back({kernel, named ? static_cast<std::uint32_t>(id) : 0xffffffffu,
                         static_cast<std::uint32_t>(permissions)});
    }
    bool const more_than_mode = parts.size() > 3 || type == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
    if (parts.empty() || !more_than_mode) return;
    std::sort(parts.begin(), parts.end());
    std::string value;
    put_little_endian(value, 2, 4);
    for (auto const& p : parts) {
        put_little_endian(value, p.tag, 2);
        put_little_endian(value, p.permissions, 2);
        put_little_endian(value, p.id, 4);
    }
    into.attributes.emplace_back(attribute, std::move(value));
}

void read_attributes(::archive_entry* h, entry& into) {
    char const* name = nullptr;
    void const* value = nullptr;
    std::size_t size = 0;
    ::archive_entry_xattr_reset(h);
    while (::archive_entry_xattr_next(h, &name, &value, &size) == ARCHIVE_OK)
        into.attributes.emplace_back(name, std::string(static_cast<char const*>(value), size));
    read_acl(h, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", into);
    read_acl(h, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", into);
}

} // namespace

std::optional<tar_reader::member> tar_reader::next() {
    locale_scope const names(locale_scope::plain());
    ::archive_entry* h = nullptr;
    auto const result = ::archive_read_next_header(state_->reader.get(), &h);
    if (result == ARCHIVE_EOF) return std::nullopt;
    state_->check(result);
    member found;
    auto& e = found.what;
    e.path = plain_name(::archive_entry_pathname(h));
    found.known = set_type(e, ::archive_entry_filetype(h));
    if (auto const* leader = ::archive_entry_hardlink(h)) {
        e.type = file_type::regular; // a header of a link says nothing of what it leads to
        e.hard_link = found.known = true;
        e.link = plain_name(leader);
    } else if (auto const* target = ::archive_entry_symlink(h))
        e.link = target;
    e.mode = static_cast<std::uint32_t>(::archive_entry_perm(h)) & 07777u;
    e.uid = static_cast<std::uint32_t>(::archive_entry_uid(h));
    e.gid = static_cast<std::uint32_t>(::archive_entry_gid(h));
    // The fraction has no sign of its own, as in decimal_time().
    std::int64_t const seconds = ::archive_entry_mtime(h), fraction = ::archive_entry_mtime_nsec(h);
    e.mtime_ns = seconds * 1'000'000'000 + (seconds < 0 ? -fraction : fraction);
    if (e.type == file_type::character || e.type == file_type::block)
        e.device = makedev(static_cast<unsigned>(::archive_entry_rdevmajor(h)),
                           static_cast<unsigned>(::archive_entry_rdevminor(h)));
    if (e.has_content())
        e.size = static_cast<std::uint64_t>(std::max<la_int64_t>(::archive_entry_size(h), 0));
    found.sparse = ::archive_entry_sparse_count(h) > 0;
    read_attributes(h, e);
    state_->piece_size = 0;
    state_->given = state_->piece_at = 0;
    state_->size = e.size;
    return found;
}

std::uint64_t tar_reader::bytes_read() const noexcept {
    return static_cast<std::uint64_t>(
        std::max<la_int64_t>(::archive_filter_bytes(state_->reader.get(), -1), 0));
}

std::string_view tar_reader::data() {
    auto& s = *state_;
    if (s.given == s.size) return {};
    while (s.piece_size == 0 &&
           s.piece_at <=
               s.given) { // archive_read_data() would cut a trailing hole off: libarchive #1194
        la_int64_t at = 0;
        auto const result = ::archive_read_data_block(s.reader.get(), &s.piece, &s.piece_size, &at);
        if (result == ARCHIVE_EOF)
            s.piece_size = 0, at = static_cast<la_int64_t>(s.size);
        else
            s.check(result);
        s.piece_at = static_cast<std::uint64_t>(std::max<la_int64_t>(at, 0));
        if (s.piece_at < s.given || s.piece_at + s.piece_size > s.size)
            throw std::runtime_error("a piece of a file lies outside it");
    }
    if (s.given < s.piece_at) {
        s.zeros.resize(64 * 1024);
        auto const n = std::min<std::uint64_t>(s.piece_at - s.given, s.zeros.size());
        s.given += n;
        return std::string_view(s.zeros).substr(0, static_cast<std::size_t>(n));
    }
    std::string_view const piece(static_cast<char const*>(s.piece), s.piece_size);
    s.given += piece.size();
    s.piece_size = 0;
    return piece;
}

} // namespace trawl::backup::detail
