#include "faulty_reads.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <stdexcept>

#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

std::atomic<std::uint64_t> bad_inode{0}, bad_from{0};
std::atomic<bool> bad_ends{false};

using pread_call = ssize_t(int, void*, size_t, off_t);

ssize_t read_or_fail(int file, void* to, size_t size, off_t at) {
    static auto* const real = reinterpret_cast<pread_call*>(::dlsym(RTLD_NEXT, "pread"));
    struct stat facts {};
    if (auto const inode = bad_inode.load();
        inode != 0 && ::fstat(file, &facts) == 0 && facts.st_ino == inode) {
        auto const from = bad_from.load(), begin = static_cast<std::uint64_t>(at);
        if (begin >= from) return bad_ends ? 0 : (errno = EIO, -1);
        size = std::min<size_t>(size, from - begin);
    }
    return real(file, to, size, at);
}

} // namespace

// Under both names that <unistd.h> may give it.
extern "C" ssize_t short_pread(int file, void* to, size_t size, off_t at) __asm__("pread");
extern "C" ssize_t short_pread(int file, void* to, size_t size, off_t at) {
    return read_or_fail(file, to, size, at);
}
extern "C" ssize_t long_pread(int file, void* to, size_t size, off_t at) __asm__("pread64");
extern "C" ssize_t long_pread(int file, void* to, size_t size, off_t at) {
    return read_or_fail(file, to, size, at);
}

namespace trawl::test {

faulty_file::faulty_file(std::filesystem::path const& file, std::uint64_t from, kind how) {
    struct stat facts {};
    if (::stat(file.c_str(), &facts) != 0) throw std::runtime_error("stat " + file.string());
    bad_from = from;
    bad_ends = how == ends;
    bad_inode = facts.st_ino;
}

faulty_file::~faulty_file() { bad_inode = 0; }

} // namespace trawl::test
