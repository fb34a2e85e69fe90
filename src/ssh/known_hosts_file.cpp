#include "ssh/known_hosts_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::ssh::detail {
namespace {

[[noreturn]] void fail(std::filesystem::path const& path, char const* what) {
    auto const reason = std::error_code(errno, std::generic_category());
    throw error(errc::bad_known_hosts, "ssh known_hosts " + path.string(),
                std::string(what) + ": " + reason.message());
}

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_); // drops the flock
    }
    operator int() const noexcept { return fd_; }

private:
    int fd_;
};

std::string read_from(int fd, std::uint64_t offset, std::filesystem::path const& path) {
    std::string text;
    char piece[65536];
    for (;;) {
        auto const got = ::pread(fd, piece, sizeof piece, static_cast<off_t>(offset + text.size()));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(path, "read");
        if (got == 0) return text;
        text.append(piece, static_cast<std::size_t>(got));
    }
}

std::size_t count_lines(std::string const& text) {
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

bool names_a_key(std::string const& text, std::string const& name) {
    known_entry entry;
    for (std::size_t begin = 0; begin < text.size();) {
        auto const end = std::min(text.find('\n', begin), text.size());
        auto const line = std::string_view(text).substr(begin, end - begin);
        if (parse_line(line, entry) == line_kind::entry && !entry.authority &&
            entry.applies_to(name))
            return true;
        begin = end + 1;
    }
    return false;
}

} // namespace

std::string known_hosts_file::read() {
    descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (file < 0 && errno == ENOENT) return {};
    if (file < 0) fail(path_, "open");
    struct stat status;
    if (::fstat(file, &status) != 0) fail(path_, "stat");
    auto text = read_from(file, 0, path_);
    inode_ = status.st_ino, size_ = text.size(), lines_ = count_lines(text);
    ends_in_newline_ = text.empty() || text.back() == '\n';
    return text;
}

known_hosts_file::addition known_hosts_file::append(std::string const& name, host_key const& key) {
    if (auto const folder = path_.parent_path();
        !folder.empty() && ::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
        fail(path_, "create folder");
    descriptor file(::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (file < 0) fail(path_, "open");
    while (::flock(file, LOCK_EX) != 0)
        if (errno != EINTR) fail(path_, "lock");
    struct stat status;
    if (::fstat(file, &status) != 0) fail(path_, "stat");
    if (status.st_ino != inode_ || static_cast<std::uint64_t>(status.st_size) < size_)
        size_ = 0, lines_ = 0, ends_in_newline_ = true; // replaced, as by ssh-keygen -R
    inode_ = status.st_ino;

    addition result;
    result.others_line = lines_ + 1;
    result.others = read_from(file, size_, path_);
    size_ += result.others.size(), lines_ += count_lines(result.others);
    if (!result.others.empty()) ends_in_newline_ = result.others.back() == '\n';
    if (names_a_key(result.others, name)) return result;

    auto line = format_line(name, key);
    if (!ends_in_newline_) line.insert(0, 1, '\n');
    // One write, so that a process that reads without the lock sees the whole line or nothing.
    auto const sent = ::write(file, line.data(), line.size());
    if (sent < 0) fail(path_, "write");
    if (static_cast<std::size_t>(sent) != line.size()) errno = ENOSPC, fail(path_, "write");
    size_ += line.size(), lines_ += count_lines(line), ends_in_newline_ = true;
    result.written = true, result.line = lines_;
    return result;
}

} // namespace trawl::ssh::detail
