#include "mail/private_files.hpp"

#include <trawl/error.hpp>

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::smtp::detail {

void fail(std::string const& where) {
    throw error(std::error_code(errno, std::system_category()), where);
}

descriptor::~descriptor() {
    if (number_ >= 0) ::close(number_);
}

void make_folder(std::filesystem::path const& folder, std::string const& where) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) fail(where);
    struct stat about {};
    if (::stat(folder.c_str(), &about) != 0) fail(where);
    errno = ENOTDIR;
    if (!S_ISDIR(about.st_mode)) fail(where);
}

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

void sync_folder(std::filesystem::path const& folder, std::string const& where) {
    descriptor const open(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Some network file systems have no fsync for folders.
    if (open.get() < 0 || (::fsync(open.get()) != 0 && errno != EINVAL && errno != EOPNOTSUPP))
        fail(where);
}

std::string objection(struct stat const& about, off_t most_bytes) {
    if (!S_ISREG(about.st_mode)) return "not an ordinary file";
    if (about.st_uid != ::geteuid()) return "it belongs to somebody else";
    if (about.st_size > most_bytes) return "it is too large";
    return {};
}

} // namespace trawl::smtp::detail
