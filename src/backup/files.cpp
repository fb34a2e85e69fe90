#include "backup/files.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace trawl::backup::detail {

void descriptor::reset() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
}

void fail(int number, std::string const& where) {
    throw error(system_code(number), "backup " + where);
}

namespace {

// One component after the other: for kernels (and filters) without openat2 and for paths beyond
// PATH_MAX.
descriptor open_by_steps(int folder, std::string_view path, int flags, unsigned mode) {
    descriptor held;
    int at = folder;
    for (;;) {
        auto const slash = path.find('/');
        std::string const part(path.substr(0, slash));
        if (slash == std::string_view::npos)
            return descriptor(::openat(at, part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
        descriptor next(::openat(at, part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!next) return next;
        held = std::move(next);
        at = held.get();
        path.remove_prefix(slash + 1);
    }
}

} // namespace

descriptor open_beneath(int folder, std::string_view path, int flags, unsigned mode) {
    if (path.empty()) return descriptor(::openat(folder, ".", flags | O_CLOEXEC));
    if (!is_clean(path)) {
        errno = EXDEV;
        return {};
    }
    if (path.size() < 4096) {
        open_how how{};
        how.flags = static_cast<unsigned>(flags | O_NOFOLLOW | O_CLOEXEC);
        how.mode = flags & O_CREAT ? mode : 0;
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
        std::string const name(path);
        auto const number = ::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how);
        if (number >= 0) return descriptor(static_cast<int>(number));
        if (errno != ENOSYS && errno != EPERM && errno != EAGAIN) return {};
    }
    return open_by_steps(folder, path, flags, mode);
}

std::optional<std::string> link_target(int folder, std::string const& leaf) {
    std::string target(256, '\0');
    for (;;) {
        auto const n = ::readlinkat(folder, leaf.c_str(), target.data(), target.size());
        if (n < 0) return std::nullopt;
        bool const whole = static_cast<std::size_t>(n) < target.size();
        target.resize(whole ? static_cast<std::size_t>(n) : target.size() * 2);
        if (whole) return target;
    }
}

descriptor open_folder(std::string const& path) {
    descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) fail(errno, path);
    return folder;
}

void write_all(int file, std::string_view bytes, std::string const& where) {
    while (!bytes.empty()) {
        auto const n = ::write(file, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(errno, "write " + where);
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

void write_at(int file, std::string_view bytes, std::uint64_t offset, std::string const& where) {
    while (!bytes.empty()) {
        auto const n = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail(errno, "write " + where);
        bytes.remove_prefix(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
}

std::string read_all(int file, std::string const& where, std::stop_token const& stop) {
    std::string bytes;
    struct stat facts {};
    if (::fstat(file, &facts) == 0 && facts.st_size > 0)
        bytes.reserve(static_cast<std::size_t>(facts.st_size) + 1);
    for (;;) {
        stop_point(stop);
        auto const had = bytes.size();
        bytes.resize(had + std::max<std::size_t>(bytes.capacity() - had, 64 * 1024));
        auto const n = ::read(file, bytes.data() + had, bytes.size() - had);
        bytes.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
        if (n < 0 && errno != EINTR) fail(errno, "read " + where);
        if (n == 0) return bytes;
    }
}

std::vector<std::pair<std::string, std::string>> attributes_of(int file) {
    std::vector<std::pair<std::string, std::string>> found;
    std::string names;
    for (;;) {
        auto const size = ::flistxattr(file, nullptr, 0);
        if (size <= 0) return found;
        names.resize(static_cast<std::size_t>(size));
        auto const n = ::flistxattr(file, names.data(), names.size());
        if (n < 0 && errno == ERANGE) continue;
        if (n <= 0) return found;
        names.resize(static_cast<std::size_t>(n));
        break;
    }
    for (std::size_t begin = 0; begin < names.size();) {
        std::string const name = names.c_str() + begin;
        begin += name.size() + 1;
        std::string value(64 * 1024, '\0'); // the kernel's limit for one value
        auto const n = ::fgetxattr(file, name.c_str(), value.data(), value.size());
        if (n < 0) continue; // gone again
        value.resize(static_cast<std::size_t>(n));
        found.emplace_back(name, std::move(value));
    }
    std::sort(found.begin(), found.end());
    return found;
}

timespec to_timespec(std::int64_t ns) {
    constexpr std::int64_t second = 1'000'000'000;
    auto seconds = ns / second;
    auto rest = ns % second;
    if (rest < 0) rest += second, --seconds;
    return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

namespace {
file_type type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return file_type::folder;
    case S_IFLNK: return file_type::symlink;
    case S_IFIFO: return file_type::fifo;
    case S_IFCHR: return file_type::character;
    case S_IFBLK: return file_type::block;
    case S_IFSOCK: return file_type::socket;
    default: return file_type::regular;
    }
}
} // namespace

void describe(entry& into, struct stat const& from) {
    into.type = type_of(from.st_mode);
    into.mode = from.st_mode & 07777;
    into.uid = from.st_uid;
    into.gid = from.st_gid;
    into.size = into.type == file_type::regular ? static_cast<std::uint64_t>(from.st_size) : 0;
    into.mtime_ns = nanoseconds(from.st_mtim);
    into.ctime_ns = nanoseconds(from.st_ctim);
    into.inode = from.st_ino;
    into.device =
        into.type == file_type::character || into.type == file_type::block ? from.st_rdev : 0;
}

} // namespace trawl::backup::detail
