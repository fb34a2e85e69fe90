#pragma once

#include <trawl/sftp.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

/// Local files. Everything here blocks, throws error with the system's code and the file's name,
/// and is meant for offload_pool.
namespace trawl::sftp::detail {

/// An open file; closed with its object.
class local_file {
public:
    local_file() = default;
    /// An existing regular file for reading.
    static local_file source(std::filesystem::path const& path);
    /// A file for writing that did not exist, or whatever is there (`keep`).
    static local_file target(std::filesystem::path const& path, std::uint32_t mode, bool keep);
    local_file(local_file&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
    local_file& operator=(local_file&& other) noexcept;
    ~local_file();

    struct stat status() const;
    /// Less than `size` bytes at the end of the file only.
    std::size_t read_at(std::uint64_t offset, char* into, std::size_t size) const;
    void write_at(std::uint64_t offset, std::string_view bytes) const;
    void truncate(std::uint64_t size) const;
    void set(attributes const& wanted) const; ///< permissions without set-id bits, times
    void sync() const;

private:
    local_file(int descriptor, std::filesystem::path path)
        : descriptor_(descriptor), path_(std::move(path)) {}
    int descriptor_ = -1;
    std::filesystem::path path_;
};

/// `folder_too`: the folder is synced as well, so that the new name survives a power cut.
void rename_file(std::filesystem::path const& from, std::filesystem::path const& to,
                 bool folder_too);

/// Makes the folder unless it is there.
void ensure_folder(std::filesystem::path const& path, std::uint32_t mode);

/// Of a file or folder.
void set_local(std::filesystem::path const& path, attributes const& wanted);

/// Removes the file, link or empty folder (`is_folder`) at `path` below `root`. No link below `root`
/// is followed, whoever puts one there meanwhile.
void remove_below(std::filesystem::path const& root, std::string const& path, bool is_folder);

/// What a link points to.
struct stat status_of(std::filesystem::path const& path);

enum class file_kind { file, folder, other };
struct listed_file {
    std::string name{};
    file_kind kind = file_kind::other;
    attributes attrs{}; ///< where the listing has them
};
/// A link to a file is a file; one to a folder is `other`: it might lead back up.
std::vector<listed_file> list_local(std::filesystem::path const& folder);

/// The folder `root` with all that is in it, by the paths below it ("" is `root`, through a link).
/// Other links are what they are or, with `follow_files`, the files that they point to. More than
/// `most` is errc::limit.
std::map<std::string, attributes> local_tree(std::filesystem::path const& root, bool follow_files,
                                             std::size_t most);

/// st_mode, st_atime, st_mtime as SFTP has them.
attributes attributes_of(struct stat const& status);

} // namespace trawl::sftp::detail
