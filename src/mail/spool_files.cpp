#include "mail/spool_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::smtp::detail {
namespace {

/// A message that is larger was not put here by us; it would have to be read whole.
constexpr off_t most_bytes = off_t(1) << 30;
/// A writer needs no longer for one message.
constexpr std::int64_t leftover_age = 3600;

[[noreturn]] void fail(std::string const& where) {
    throw error(std::error_code(errno, std::system_category()), "spool " + where);
}

class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor const&) = delete;
    ~descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }

private:
    int number_;
};

void write_all(int file, std::string_view bytes, std::string const& where) {
    while (!bytes.empty()) {
        auto const written = ::write(file, bytes.data(), bytes.size());
        if (written >= 0)
            bytes.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            fail(where);
    }
}

std::string read_all(int file, std::size_t size, std::string const& where) {
    std::string bytes(size, '\0');
    for (std::size_t have = 0; have < size;) {
        auto const got = ::pread(file, bytes.data() + have, size - have, static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(where);
        if (got == 0) bytes.resize(have), size = have;
        have += static_cast<std::size_t>(got);
    }
    return bytes;
}

void sync_folder(std::filesystem::path const& folder) {
    descriptor const open(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Some network file systems have no fsync for folders.
    if (open.get() < 0 || (::fsync(open.get()) != 0 && errno != EINVAL && errno != EOPNOTSUPP))
        fail(folder.string());
}

void move(std::filesystem::path const& from, std::filesystem::path const& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) fail(from.string());
    sync_folder(to.parent_path());
    sync_folder(from.parent_path());
}

/// Why an open file cannot be a message of ours; empty when it may be one.
std::string objection(struct stat const& about) {
    if (!S_ISREG(about.st_mode)) return "not an ordinary file";
    if (about.st_uid != ::geteuid()) return "it belongs to somebody else";
    if (about.st_size > most_bytes) return "it is larger than any message";
    return {};
}

} // namespace

entry_file::~entry_file() { ::close(descriptor_); }

void entry_file::append(std::string_view lines) {
    std::lock_guard const alone(appending_);
    auto const before = ::lseek(descriptor_, 0, SEEK_END);
    try {
        write_all(descriptor_, lines, path);
        if (::fdatasync(descriptor_) != 0) fail(path);
    } catch (error const&) { // what comes next does not stand behind half a line
        if (before >= 0) (void)!::ftruncate(descriptor_, before);
        throw;
    }
}

void entry_file::set_due(std::int64_t when) noexcept {
    timespec const times[] = {{0, UTIME_OMIT}, {static_cast<time_t>(when), 0}};
    (void)::futimens(descriptor_, times);
}

spool_folder::spool_folder(std::filesystem::path where) : where_(std::move(where)) {
    for (auto const* part : {"", "tmp", "queue", "failed", "corrupt"}) {
        auto const path = *part ? where_ / part : where_;
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) fail(path.string());
        struct stat about {};
        if (::stat(path.c_str(), &about) != 0) fail(path.string());
        errno = ENOTDIR;
        if (!S_ISDIR(about.st_mode)) fail(path.string());
    }
}

std::string spool_folder::add(spooled const& one) const {
    std::random_device random;
    auto const name = fmt::format("{:010x}-{:08x}{:08x}", one.created, random(), random());
    auto const path = where_ / "tmp" / name, queued = where_ / "queue" / name;
    auto const bytes = write_entry(one);
    entry_file file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    file.path = path.string();
    if (file.descriptor() < 0) fail(path.string());
    try {
        if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0) fail(path.string());
        file.append(bytes);
        file.set_due(one.next);
        if (::fsync(file.descriptor()) != 0) fail(path.string());
        move(path, queued);
    } catch (error const&) { // whoever gets it sends it another way
        ::unlink(path.c_str());
        ::unlink(queued.c_str());
        throw;
    }
    return name;
}

void spool_folder::set_aside(std::string const& name) const {
    move(where_ / "queue" / name, where_ / "corrupt" / name);
}

spool_folder::state spool_folder::open(std::string const& name, std::unique_ptr<entry_file>& into,
                                       std::string& why) const {
    if (name.empty() || name.find('/') != std::string::npos || name.starts_with('.'))
        return state::absent;
    auto const path = where_ / "queue" / name;
    // No link is followed, and no pipe waited for.
    descriptor file(::open(path.c_str(), O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.get() < 0 && errno == ENOENT) return state::absent;
    struct stat about {};
    if (file.get() < 0) {
        // What cannot be opened though it is there: a link, a folder, somebody else's.
        why = std::error_code(errno, std::system_category()).message();
        if (::lstat(path.c_str(), &about) != 0) return state::absent;
        if (S_ISREG(about.st_mode) && about.st_uid == ::geteuid()) fail(path.string());
        set_aside(name);
        return state::corrupt;
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return state::busy;
        fail(path.string());
    }
    struct stat now {};
    if (::fstat(file.get(), &about) != 0) fail(path.string());
    // Whoever had the lock before may have finished it.
    if (::lstat(path.c_str(), &now) != 0 || now.st_ino != about.st_ino) return state::absent;
    why = objection(about);
    auto opened = std::make_unique<entry_file>(file.release());
    if (why.empty()) {
        auto const bytes =
            read_all(opened->descriptor(), static_cast<std::size_t>(about.st_size), path.string());
        try {
            auto read = read_entry(bytes);
            if (read.whole < bytes.size() &&
                ::ftruncate(opened->descriptor(), static_cast<off_t>(read.whole)) != 0)
                fail(path.string());
            opened->entry = std::move(read.entry);
        } catch (error const& e) {
            if (e.code() != std::errc::bad_message) throw;
            why = e.said();
        }
    }
    if (!why.empty()) {
        set_aside(name);
        return state::corrupt;
    }
    opened->name = name;
    opened->path = path.string();
    into = std::move(opened);
    return state::open;
}

void spool_folder::finish(entry_file const& one, bool failed) const {
    if (failed) return move(one.path, where_ / "failed" / one.name);
    if (::unlink(one.path.c_str()) != 0) fail(one.path);
    sync_folder(where_ / "queue");
}

std::vector<std::string> spool_folder::due(std::int64_t now) const {
    std::vector<std::pair<std::int64_t, std::string>> found;
    for (auto const& one : std::filesystem::directory_iterator(where_ / "queue")) {
        struct stat about {};
        if (::lstat(one.path().c_str(), &about) != 0 || about.st_mtime > now) continue;
        found.emplace_back(about.st_mtime, one.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    std::vector<std::string> names;
    for (auto& [when, name] : found) names.push_back(std::move(name));
    return names;
}

std::size_t spool_folder::size() const {
    std::size_t count = 0;
    for ([[maybe_unused]] auto const& one : std::filesystem::directory_iterator(where_ / "queue"))
        ++count;
    return count;
}

void spool_folder::sweep(std::int64_t now) const {
    for (auto const& one : std::filesystem::directory_iterator(where_ / "tmp")) {
        struct stat about {};
        if (::lstat(one.path().c_str(), &about) == 0 && about.st_mtime + leftover_age < now)
            ::unlink(one.path().c_str());
    }
}

} // namespace trawl::smtp::detail
