#include "cli/ssh_input.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace trawl::cli {
namespace {

[[noreturn]] void fail(std::string const& what) {
    throw error(std::error_code(errno, std::generic_category()), what);
}

/// A file without a name, gone with its last descriptor.
int unnamed_file() {
    char const* const set = std::getenv("TMPDIR");
    std::string const folder = set && *set ? set : "/var/tmp"; // /tmp may be memory
    int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { // not every file system has them
        auto name = folder + "/trawl-input-XXXXXX";
        file = ::mkostemp(name.data(), O_CLOEXEC);
        if (file >= 0) ::unlink(name.c_str());
    }
    if (file < 0) fail("a temporary file in " + folder);
    return file;
}

void write_all(int to, char const* bytes, std::size_t size) {
    while (size > 0) {
        auto const put = ::write(to, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) fail("write the temporary copy of the input");
        bytes += put, size -= static_cast<std::size_t>(put);
    }
}

} // namespace

ssh_input::ssh_input(int file, std::string const& name, offload_pool& blocking)
    : file_(file), blocking_(blocking) {
    try {
        struct stat status;
        if (::fstat(file_, &status) != 0) fail("read " + name);
        if (S_ISREG(status.st_mode)) {
            auto const at = ::lseek(file_, 0, SEEK_CUR);
            from_ = at > 0 ? static_cast<std::uint64_t>(at) : 0;
            return;
        }
        copy(name);
    } catch (...) {
        ::close(file_);
        throw;
    }
}

ssh_input::~ssh_input() { ::close(file_); }

void ssh_input::copy(std::string const& name) {
    int const to = unnamed_file();
    int const from = std::exchange(file_, to);
    struct closer {
        int file;
        ~closer() { ::close(file); }
    } const at_exit{from};
    std::string piece(128 * 1024, '\0');
    for (;;) {
        auto const got = ::read(from, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail("read " + name);
        if (got == 0) return;
        write_all(to, piece.data(), static_cast<std::size_t>(got));
    }
}

} // namespace trawl::cli
