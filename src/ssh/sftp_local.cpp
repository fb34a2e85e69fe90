#include "ssh/sftp_local.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace trawl::sftp::detail {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(char const* operation, fs::path const& path) {
    throw error({errno, std::generic_category()}, std::string(operation) + " " + path.string());
}

timespec seconds(std::uint32_t since_1970) {
    timespec t{};
    t.tv_sec = since_1970;
    return t;
}

/// A folder that stays the same one, whatever takes its name.
class local_folder {
public:
    explicit local_folder(fs::path path)
        : path_(std::move(path)), descriptor_(open(AT_FDCWD, path_, 0)) {}
    local_folder(local_folder const&) = delete;
    local_folder& operator=(local_folder const&) = delete;
    ~local_folder() { ::close(descriptor_); }

    /// Goes on to a folder in it, through no link.
    void enter(fs::path const& name) {
        path_ /= name;
        int const inner = open(descriptor_, name, O_NOFOLLOW);
        ::close(std::exchange(descriptor_, inner));
    }
    void remove(fs::path const& name, bool is_folder) const {
        if (::unlinkat(descriptor_, name.c_str(), is_folder ? AT_REMOVEDIR : 0) != 0)
            fail("remove", path_ / name);
    }

private:
    int open(int in, fs::path const& name, int flags) const {
        int const opened = ::openat(in, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | flags);
        if (opened < 0) fail("open", path_);
        return opened;
    }

    fs::path path_;
    int descriptor_;
};

// A server's set-id bits are not ours to hand out.
mode_t plain(std::uint32_t permissions) { return permissions & 0777; }

} // namespace

local_file& local_file::operator=(local_file&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    return *this;
}

local_file::~local_file() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

local_file local_file::source(fs::path const& path) {
    // Opening a FIFO would wait for its writer.
    local_file opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), path);
    if (opened.descriptor_ < 0) fail("open", path);
    if (!S_ISREG(opened.status().st_mode)) throw error(errc::not_regular, "open " + path.string());
    return opened;
}

local_file local_file::target(fs::path const& path, std::uint32_t mode, bool keep) {
    int const flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (keep ? 0 : O_EXCL);
    // Without write permission the file could not be gone on with.
    local_file opened(::open(path.c_str(), flags, plain(mode) | (keep ? 0200 : 0)), path);
    if (opened.descriptor_ < 0) fail("create", path);
    return opened;
}

struct stat local_file::status() const {
    struct stat s;
    if (::fstat(descriptor_, &s) != 0) fail("stat", path_);
    return s;
}

std::size_t local_file::read_at(std::uint64_t offset, char* into, std::size_t size) const {
    std::size_t done = 0;
    while (done < size) {
        auto const got =
            ::pread(descriptor_, into + done, size - done, static_cast<off_t>(offset + done));
        if (got == 0) break;
        if (got > 0)
            done += static_cast<std::size_t>(got);
        else if (errno != EINTR)
            fail("read", path_);
    }
    return done;
}

void local_file::write_at(std::uint64_t offset, std::string_view bytes) const {
    while (!bytes.empty()) {
        auto const put =
            ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (put >= 0)
            bytes.remove_prefix(static_cast<std::size_t>(put)),
                offset += static_cast<std::uint64_t>(put);
        else if (errno != EINTR)
            fail("write", path_);
    }
}

void local_file::truncate(std::uint64_t size) const {
    if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) fail("truncate", path_);
}

void local_file::set(attributes const& wanted) const {
    if (wanted.permissions && ::fchmod(descriptor_, plain(*wanted.permissions)) != 0)
        fail("chmod", path_);
    if (!wanted.times) return;
    timespec const times[2]{seconds(wanted.times->access), seconds(wanted.times->modification)};
    if (::futimens(descriptor_, times) != 0) fail("set times of", path_);
}

void local_file::sync() const {
    if (::fsync(descriptor_) != 0) fail("fsync", path_);
}

void rename_file(fs::path const& from, fs::path const& to, bool folder_too) {
    if (std::rename(from.c_str(), to.c_str()) != 0) fail("rename to", to);
    if (!folder_too) return;
    auto const parent = to.parent_path().empty() ? fs::path(".") : to.parent_path();
    int const folder = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) fail("open", parent);
    // Some network file systems have no fsync for folders.
    bool const failed = ::fsync(folder) != 0 && errno != EINVAL && errno != EOPNOTSUPP;
    ::close(folder);
    if (failed) fail("fsync", parent);
}

void ensure_folder(fs::path const& path, std::uint32_t mode) {
    // Whatever its mode will be, files have to get into it first.
    if (::mkdir(path.c_str(), plain(mode) | 0700) == 0) return;
    if (errno != EEXIST) fail("mkdir", path);
    if (!S_ISDIR(status_of(path).st_mode)) {
        errno = ENOTDIR;
        fail("mkdir", path);
    }
}

void set_local(fs::path const& path, attributes const& wanted) {
    if (wanted.permissions && ::chmod(path.c_str(), plain(*wanted.permissions)) != 0)
        fail("chmod", path);
    if (!wanted.times) return;
    timespec const times[2]{seconds(wanted.times->access), seconds(wanted.times->modification)};
    if (::utimensat(AT_FDCWD, path.c_str(), times, 0) != 0) fail("set times of", path);
}

void remove_below(fs::path const& root, std::string const& path, bool is_folder) {
    local_folder in(root);
    fs::path const parts(path);
    for (auto const& name : parts.parent_path()) in.enter(name);
    in.remove(parts.filename(), is_folder);
}

struct stat status_of(fs::path const& path) {
    struct stat s;
    if (::stat(path.c_str(), &s) != 0) fail("stat", path);
    return s;
}

std::vector<listed_file> list_local(fs::path const& folder) {
    std::vector<listed_file> found;
    std::error_code failed;
    for (fs::directory_iterator next(folder, failed), end; !failed && next != end;
         next.increment(failed)) {
        auto kind = file_kind::other;
        std::error_code gone;
        auto const type = next->symlink_status(gone).type();
        if (type == fs::file_type::directory) kind = file_kind::folder;
        if (type == fs::file_type::regular ||
            (type == fs::file_type::symlink && next->is_regular_file(gone)))
            kind = file_kind::file;
        found.push_back({next->path().filename().string(), kind, {}});
    }
    if (failed) throw error(failed, "list " + folder.string());
    return found;
}

std::map<std::string, attributes> local_tree(fs::path const& root, bool follow_files,
                                             std::size_t most) {
    std::map<std::string, attributes> found{{std::string(), attributes_of(status_of(root))}};
    std::vector<std::string> folders;
    if (found.begin()->second.is_folder()) folders.emplace_back();
    while (!folders.empty()) {
        auto const folder = std::move(folders.back());
        folders.pop_back();
        std::error_code failed;
        auto const path = folder.empty() ? root : root / folder;
        for (fs::directory_iterator next(path, failed), end; !failed && next != end;
             next.increment(failed)) {
            auto name = next->path().filename().native();
            if (!folder.empty()) name.insert(0, folder + '/');
            struct stat seen, there;
            if (::lstat(next->path().c_str(), &seen) != 0) fail("stat", next->path());
            if (follow_files && S_ISLNK(seen.st_mode) &&
                ::stat(next->path().c_str(), &there) == 0 && S_ISREG(there.st_mode))
                seen = there;
            if (S_ISDIR(seen.st_mode)) folders.push_back(name);
            if (found.size() >= most) throw error(errc::limit, "list " + root.string());
            found.emplace(std::move(name), attributes_of(seen));
        }
        if (failed) throw error(failed, "list " + path.string());
    }
    return found;
}

attributes attributes_of(struct stat const& s) {
    attributes a;
    a.size = static_cast<std::uint64_t>(s.st_size);
    a.permissions = s.st_mode;
    a.times =
        file_times{static_cast<std::uint32_t>(s.st_atime), static_cast<std::uint32_t>(s.st_mtime)};
    return a;
}

} // namespace trawl::sftp::detail
