#include "mail/spool_files.hpp"

#include "mail/private_files.hpp"

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

/// Where something failed.
std::string at(std::filesystem::path const& file) { return "spool " + file.string(); }

void move(std::filesystem::path const& from, std::filesystem::path const& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) fail(at(from));
    for (auto const& folder : {to.parent_path(), from.parent_path()})
        sync_folder(folder, at(folder));
}

} // namespace

entry_file::~entry_file() { ::close(descriptor_); }

void entry_file::append(std::string_view lines) {
    std::lock_guard const alone(appending_);
    auto const before = ::lseek(descriptor_, 0, SEEK_END);
    try {
        write_all(descriptor_, lines, at(path));
        if (::fdatasync(descriptor_) != 0) fail(at(path));
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
        make_folder(path, at(path));
    }
}

std::string spool_folder::add(spooled const& one) const {
    std::random_device random;
    auto const name = fmt::format("{:010x}-{:08x}{:08x}", one.created, random(), random());
    auto const path = where_ / "tmp" / name, queued = where_ / "queue" / name;
    auto const bytes = write_entry(one);
    entry_file file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    file.path = path.string();
    if (file.descriptor() < 0) fail(at(path));
    try {
        if (::flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0) fail(at(path));
        file.append(bytes);
        file.set_due(one.next);
        if (::fsync(file.descriptor()) != 0) fail(at(path));
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
        if (S_ISREG(about.st_mode) && about.st_uid == ::geteuid()) fail(at(path));
        set_aside(name);
        return state::corrupt;
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return state::busy;
        fail(at(path));
    }
    struct stat now {};
    if (::fstat(file.get(), &about) != 0) fail(at(path));
    // Whoever had the lock before may have finished it.
    if (::lstat(path.c_str(), &now) != 0 || now.st_ino != about.st_ino) return state::absent;
    why = objection(about, most_bytes);
    auto opened = std::make_unique<entry_file>(file.release());
    if (why.empty()) {
        auto const bytes =
            read_all(opened->descriptor(), static_cast<std::size_t>(about.st_size), at(path));
        try {
            auto read = read_entry(bytes);
            if (read.whole < bytes.size() &&
                ::ftruncate(opened->descriptor(), static_cast<off_t>(read.whole)) != 0)
                fail(at(path));
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
    if (::unlink(one.path.c_str()) != 0) fail(at(one.path));
    sync_folder(where_ / "queue", at(where_ / "queue"));
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
