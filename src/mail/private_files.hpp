#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <sys/stat.h>

// Files of our own in folders of our own. Everything blocks; what fails throws error, whose where() is
// the `where` given.
namespace trawl::smtp::detail {

/// Throws error of errno.
[[noreturn]] void fail(std::string const& where);

/// An open file, closed with it; below 0: none.
class descriptor {
public:
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor const&) = delete;
    descriptor& operator=(descriptor const&) = delete;
    ~descriptor();
    int get() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }

private:
    int number_;
};

/// Makes a folder, for its owner only, unless it is there.
void make_folder(std::filesystem::path const& folder, std::string const& where);
void write_all(int file, std::string_view bytes, std::string const& where);
/// `size` bytes from the beginning, or as many as there are.
std::string read_all(int file, std::size_t size, std::string const& where);
/// What was made, moved and removed in a folder is on disk when it returns.
void sync_folder(std::filesystem::path const& folder, std::string const& where);

/// Why an open file cannot be one of ours; empty when it may be one.
std::string objection(struct stat const& about, off_t most_bytes);

} // namespace trawl::smtp::detail
