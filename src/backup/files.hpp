#pragma once

#include "backup/entry.hpp"

#include <trawl/error.hpp>

#include <asio/error.hpp>

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace trawl::backup::detail {

/// A file descriptor that closes itself.
class descriptor {
public:
    descriptor() noexcept = default;
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept {
        if (this != &other) reset(), number_ = std::exchange(other.number_, -1);
        return *this;
    }
    ~descriptor() { reset(); }

    void reset() noexcept;
    int get() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }
    explicit operator bool() const noexcept { return number_ >= 0; }

private:
    int number_ = -1;
};

inline std::error_code system_code(int number) { return {number, std::system_category()}; }
inline std::string system_message(int number) { return system_code(number).message(); }

/// Throws error(number, "backup WHERE").
[[noreturn]] void fail(int number, std::string const& where);

/// What a job does now and then; the caller of offload_pool::run gets operation_aborted in any
/// case.
inline void stop_point(std::stop_token const& stop) {
    if (stop.stop_requested())
        throw error(make_error_code(asio::error::operation_aborted), "backup");
}

/// Opens `path` beneath `folder` (empty: the folder itself), following no symbolic link at any
/// place, the last one included. Any length and depth. Empty with errno set when it fails.
descriptor open_beneath(int folder, std::string_view path, int flags, unsigned mode = 0);

/// What the symbolic link `leaf` says; nullopt with errno set when it cannot be read.
std::optional<std::string> link_target(int folder, std::string const& leaf);

/// Opens an ordinary folder by its path; throws.
descriptor open_folder(std::string const& path);

/// Writes all of `bytes`; throws error naming `where`.
void write_all(int file, std::string_view bytes, std::string const& where);

/// As above, at `offset`.
void write_at(int file, std::string_view bytes, std::uint64_t offset, std::string const& where);

/// The whole of a file; throws error naming `where`.
std::string read_all(int file, std::string const& where, std::stop_token const& stop = {});

/// The extended attributes of an open file or folder (POSIX ACLs are among them), sorted. A file
/// system without any has none.
std::vector<std::pair<std::string, std::string>> attributes_of(int file);

inline std::int64_t nanoseconds(timespec const& t) {
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
/// Floors, so that moments before 1970 keep a tv_nsec of 0 to 999,999,999.
timespec to_timespec(std::int64_t ns);

/// Everything of an entry that stat(2) tells.
void describe(entry& into, struct stat const& from);

} // namespace trawl::backup::detail
