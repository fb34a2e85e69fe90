#include <trawl/error.hpp>
#include <trawl/mutex.hpp>

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace trawl {

std::optional<file_lock> file_lock::try_acquire(std::filesystem::path const& path) {
    int const descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) throw error({errno, std::generic_category()}, "lock " + path.string());
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return file_lock(descriptor);
    int const why = errno;
    ::close(descriptor);
    if (why == EWOULDBLOCK || why == EINTR) return std::nullopt;
    throw error({why, std::generic_category()}, "lock " + path.string());
}

awaitable<file_lock> file_lock::acquire(std::filesystem::path path, duration interval) {
    for (;;) {
        if (auto held = try_acquire(path)) co_return std::move(*held);
        co_await sleep_for(interval);
    }
}

file_lock& file_lock::operator=(file_lock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

file_lock::~file_lock() {
    if (descriptor_ >= 0)
        ::close(descriptor_); // the last descriptor of the open file: the lock goes with it
}

} // namespace trawl
