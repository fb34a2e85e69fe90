#include "backup/placing.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view partial_prefix = ".trawl-restore.", partial_suffix = ".partial";
constexpr char const* acl_of_file = "system.posix_acl_access";
constexpr char const* acl_of_new_files = "system.posix_acl_default";

std::string partial_name() {
    static std::atomic<std::uint64_t> number{0};
    return std::string(partial_prefix) + std::to_string(::getpid()) + "." +
           std::to_string(number++) + std::string(partial_suffix);
}

/// The temporary name of a process that is no more.
bool is_left_behind(std::string_view name) {
    if (!name.starts_with(partial_prefix) || !name.ends_with(partial_suffix)) return false;
    auto const process = std::atoi(name.data() + partial_prefix.size());
    return process > 0 && ::kill(process, 0) != 0 && errno == ESRCH;
}

/// Removes what a restore that was killed has left in a folder.
void tidy(int folder) {
    auto again = open_beneath(folder, "", O_RDONLY | O_DIRECTORY);
    std::unique_ptr<DIR, int (*)(DIR*)> names(again ? ::fdopendir(again.get()) : nullptr,
                                              &::closedir);
    if (!names) return;
    again.release();
    while (auto const* found = ::readdir(names.get()))
        if (is_left_behind(found->d_name)) ::unlinkat(folder, found->d_name, 0);
}

mode_t node_kind(file_type type) {
    switch (type) {
    case file_type::fifo: return S_IFIFO;
    case file_type::character: return S_IFCHR;
    case file_type::block: return S_IFBLK;
    default: return S_IFSOCK;
    }
}

} // namespace

placer::partial::~partial() {
    if (folder_ >= 0) ::unlinkat(folder_, name_.c_str(), 0);
}

placer::placer(int target, complaint complain)
    : target_(target), complain_(std::move(complain)), root_(::geteuid() == 0) {}

// The folder that `path` lies in; -1 with errno set.
int placer::parent_of_entry(std::string_view path) {
    auto const folder = parent_of(path);
    if (parent_now_ >= 0 && parent_path_ == folder) return parent_now_;
    parent_.reset();
    parent_now_ = target_;
    if (!folder.empty()) {
        parent_ = open_beneath(target_, folder, O_RDONLY | O_DIRECTORY);
        parent_now_ = parent_.get();
    }
    parent_path_ = folder;
    if (parent_now_ >= 0) inherits_ = ::fgetxattr(parent_now_, acl_of_new_files, nullptr, 0) > 0;
    return parent_now_;
}

placer::folder_state placer::make_folder(entry const& what) {
    if (what.path.empty()) {
        tidy(target_);
        return folder_state::found;
    }
    std::string const leaf(leaf_of(what.path));
    int const in = parent_of_entry(what.path);
    if (in >= 0 && ::mkdirat(in, leaf.c_str(), 0700) == 0) return folder_state::made;
    struct stat facts {};
    if (in < 0 || errno != EEXIST || ::fstatat(in, leaf.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(what, errno), folder_state::missing;
    if (!S_ISDIR(facts.st_mode)) return fail(what, ENOTDIR), folder_state::missing;
    // One of our own that cannot be written into would refuse what comes; its mode is set at the
    // end.
    if (!root_ && (facts.st_mode & 0700) != 0700)
        ::fchmodat(in, leaf.c_str(), (facts.st_mode & 07777) | 0700, 0);
    if (auto const there = open_beneath(in, leaf, O_RDONLY | O_DIRECTORY)) tidy(there.get());
    return folder_state::found;
}

std::optional<placer::partial> placer::begin_file(entry const& what) {
    int const in = parent_of_entry(what.path);
    if (in < 0) return fail(what, errno), std::nullopt;
    partial made(in, partial_name());
    auto const open = [&] {
        return descriptor(
            ::openat(in, made.name(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    };
    made.file = open();
    if (!made.file && errno == EEXIST) { // of a process that had our number
        ::unlinkat(in, made.name(), 0);
        made.file = open();
    }
    if (!made.file) {
        fail(what, errno);
        made.keep();
        return std::nullopt;
    }
    return made;
}

bool placer::finish_file(entry const& what, partial made) {
    apply(made.file.get(), what);
    return rename(what, made);
}

bool placer::rename(entry const& what, partial& made) {
    int const in = parent_of_entry(what.path);
    if (::renameat(in, made.name(), in, std::string(leaf_of(what.path)).c_str()) != 0)
        return fail(what, errno), false;
    made.keep();
    return true;
}

bool placer::make_link(entry const& what, std::string_view leader) {
    auto const first = open_beneath(target_, parent_of(leader), O_PATH | O_DIRECTORY);
    int const in = first ? parent_of_entry(what.path) : -1;
    if (in < 0) return fail(what, errno), false;
    partial made(in, partial_name());
    if (::linkat(first.get(), std::string(leaf_of(leader)).c_str(), in, made.name(), 0) != 0)
        return fail(what, errno), false;
    // Renaming one link over another of the same file does nothing and leaves both: `again` removes
    // the temporary one.
    partial again(in, made.name());
    return rename(what, made);
}

bool placer::make_other(entry const& what) {
    int const in = parent_of_entry(what.path);
    if (in < 0) return fail(what, errno), false;
    partial made(in, partial_name());
    bool const symlink = what.type == file_type::symlink;
    int const result = symlink
                           ? ::symlinkat(what.link.c_str(), in, made.name())
                           : ::mknodat(in, made.name(), node_kind(what.type) | 0600, what.device);
    if (result != 0) return fail(what, errno), false;
    if (!root_)
        left_out_ += what.uid != ::geteuid() || what.gid != ::getegid();
    else if (::fchownat(in, made.name(), what.uid, what.gid, AT_SYMLINK_NOFOLLOW) != 0)
        fail(what, errno);
    if (!symlink && ::fchmodat(in, made.name(), what.mode, 0) != 0) fail(what, errno);
    timespec const times[2] = {{0, UTIME_NOW}, to_timespec(what.mtime_ns)};
    if (::utimensat(in, made.name(), times, AT_SYMLINK_NOFOLLOW) != 0) fail(what, errno);
    return rename(what, made);
}

bool placer::finish_folder(entry const& what) {
    int const in = what.path.empty() ? target_ : parent_of_entry(what.path);
    auto const made = open_beneath(in, leaf_of(what.path), O_RDONLY | O_DIRECTORY);
    if (!made) return fail(what, errno), false;
    apply(made.get(), what);
    return true;
}

// Owner first: chown drops setuid bits and capabilities. Times last: all else may change them.
void placer::apply(int file, entry const& what) {
    if (root_ && ::fchown(file, what.uid, what.gid) != 0) fail(what, errno);
    auto const mode = root_ ? what.mode : owned_mode(file, what);
    set_attributes(file, what);
    if (::fchmod(file, mode) != 0) fail(what, errno);
    timespec const times[2] = {{0, UTIME_NOW}, to_timespec(what.mtime_ns)};
    if (::futimens(file, times) != 0) fail(what, errno);
}

// Who is not root cannot give a file away: setuid for another user than the one who set it would be
// no restore.
std::uint32_t placer::owned_mode(int file, entry const& what) {
    struct stat facts {};
    if (::fstat(file, &facts) == 0 && facts.st_uid == what.uid && facts.st_gid == what.gid)
        return what.mode;
    ++left_out_;
    return what.mode & 01777u;
}

void placer::set_attributes(int file, entry const& what) {
    auto const has = [&](std::string_view name) {
        return std::any_of(what.attributes.begin(), what.attributes.end(),
                           [&](auto const& a) { return a.first == name; });
    };
    if (inherits_)
        for (auto const* name : {acl_of_file, acl_of_new_files})
            if (!has(name)) ::fremovexattr(file, name); // most have none of either: no failure
    for (auto const& [name, value] : what.attributes) {
        if (::fsetxattr(file, name.c_str(), value.data(), value.size(), 0) == 0) continue;
        bool const only_root_may = !name.starts_with("user.") && !name.starts_with("system.");
        if (root_ || !only_root_may)
            complain_(what.path, name + ": " + system_message(errno));
        else
            ++left_out_;
    }
}

} // namespace trawl::backup::detail
