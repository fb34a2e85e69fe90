#pragma once

#include "backup/entry.hpp"
#include "backup/files.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

/// Puts objects in place beneath a folder, each whole under its final name or not at all. Every
/// folder on the way is reached by openat2 without following symbolic links (or leaving the
/// folder), and what is there is replaced by a rename, not written into. One thread at a time;
/// several may fill the same folder.
class placer {
public:
    /// What could not be done: a path and why.
    using complaint = std::function<void(std::string const& path, std::string const& why)>;

    /// `target` is open and stays so.
    placer(int target, complaint complain);

    /// A file without a final name, removed again unless finish() gives it one.
    class partial {
    public:
        partial(int folder, std::string name) : folder_(folder), name_(std::move(name)) {}
        partial(partial&& other) noexcept
            : folder_(std::exchange(other.folder_, -1)), name_(std::move(other.name_)),
              file(std::move(other.file)) {}
        ~partial();
        char const* name() const noexcept { return name_.c_str(); }
        void keep() noexcept { folder_ = -1; }

    private:
        int folder_;
        std::string name_;

    public:
        descriptor file;
    };

    enum class folder_state { missing, found, made };
    /// A folder that only its owner may enter, or the one that is there already.
    folder_state make_folder(entry const& what);
    /// Begins a file in the folder of `what`; nullopt when that cannot be (and has been said).
    std::optional<partial> begin_file(entry const& what);
    /// Metadata of `what`, then its name.
    bool finish_file(entry const& what, partial file);
    /// A second name for the file at `leader`.
    bool make_link(entry const& what, std::string_view leader);
    /// A symbolic link, fifo, device or socket.
    bool make_other(entry const& what);
    /// Owner, attributes, mode and time of a folder, when all in it is done.
    bool finish_folder(entry const& what);

    /// Owners and attributes that only root may set and that were left out.
    std::uint64_t left_out() const noexcept { return left_out_; }

private:
    int parent_of_entry(std::string_view path);
    bool rename(entry const& what, partial& made);
    void apply(int file, entry const& what);
    void set_attributes(int file, entry const& what);
    std::uint32_t owned_mode(int file, entry const& what);
    void fail(entry const& what, int number) { complain_(what.path, system_message(number)); }

    int target_;
    complaint complain_;
    bool root_;
    std::uint64_t left_out_ = 0;
    descriptor parent_;
    int parent_now_ = -1;
    std::string parent_path_;
    bool inherits_ = false; ///< what is made in this parent gets an ACL of the parent's
};

} // namespace trawl::backup::detail
