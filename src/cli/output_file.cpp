#include "cli/output_file.hpp"

#include "cli/environment.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::cli {
namespace {

/// Where results are to end: behind a symbolic link, not in its place.
std::filesystem::path destination(std::filesystem::path const& file) {
    struct stat seen {};
    if (::stat(file.c_str(), &seen) == 0) {
        if (!S_ISREG(seen.st_mode))
            throw usage_error(fmt::format("--output {}: it is no ordinary file; write > {} instead",
                                          file.string(), file.string()));
        return std::filesystem::canonical(file);
    }
    if (errno != ENOENT) fail("--output " + file.string());
    if (std::filesystem::is_symlink(file) || file.filename().empty())
        throw usage_error(fmt::format("--output {}: it leads to no file", file.string()));
    return file;
}

/// False when somebody else holds the lock. The file systems of clusters (Lustre without its flock
/// option, NFS without a lock daemon) may have none; there nobody is kept out.
bool take_lock(int file) {
    while (::flock(file, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR) return errno != EWOULDBLOCK;
    return true;
}

bool same_file(struct stat const& a, struct stat const& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

} // namespace

output_file::output_file(std::filesystem::path file, std::uint64_t keep)
    : file_(destination(file)), partial_(file_), name_() {
    partial_ += ".partial";
    name_ = partial_.string();
    out_ = open_alone();
    if (auto const there = size(); there < keep)
        throw usage_error(fmt::format(
            "--output {}: {} has {} bytes of the {} that the run to be resumed had saved; remove "
            "the file of --resume to begin anew",
            file.string(), name_, there, keep));
    if (::ftruncate(number(), static_cast<off_t>(keep)) != 0) fail("truncate " + name_);
}

/// The lock goes to the file that bears the name now: another process may have committed the one
/// that was opened before it was locked.
descriptor output_file::open_alone() const {
    for (;;) {
        descriptor file(
            ::open(partial_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
        if (file.get() < 0) fail("open " + name_);
        if (!take_lock(file.get()))
            throw usage_error(
                fmt::format("--output {}: another process is writing {}", file_.string(), name_));
        struct stat opened {
        }, named{};
        if (::fstat(file.get(), &opened) != 0) fail("stat " + name_);
        if (!S_ISREG(opened.st_mode))
            throw usage_error(
                fmt::format("--output {}: {} is no ordinary file", file_.string(), name_));
        if (::stat(partial_.c_str(), &named) == 0 && same_file(opened, named)) return file;
    }
}

std::uint64_t output_file::size() const {
    struct stat seen {};
    if (::fstat(number(), &seen) != 0) fail("stat " + name_);
    return static_cast<std::uint64_t>(seen.st_size);
}

void output_file::commit() {
    sync();
    put_in_place(partial_, file_);
}

} // namespace trawl::cli
