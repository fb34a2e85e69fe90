#pragma once

#include "backup/archive.hpp"
#include "backup/hash.hpp"
#include "backup/repository.hpp"

#include <trawl/backup.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trawl::backup::detail {

/// One restore, as plain blocking steps for the pool: prepare once, then advance until it says
/// false.
///
///     folders -> content, newest archive first -> hard links -> other kinds
///     -> metadata of folders, deepest first
///
/// Everything is reached by openat2 beneath the target, without following links. A member of an
/// archive counts only when the manifest has a file of its name in that archive, and its content
/// only when size and hash agree.
class restoring {
public:
    explicit restoring(restore_options o) : options_(std::move(o)) {}

    /// Chooses the state, checks that its archives are there, opens the target.
    void prepare(std::stop_token const& stop);
    /// A slice of the work; false when all is done.
    bool advance(std::stop_token const& stop);

    restore_report result() && { return std::move(report_); }
    std::uint64_t bytes_done() const noexcept { return report_.bytes; }
    std::uint64_t bytes_wanted() const noexcept { return bytes_wanted_; }

private:
    enum class phase { folders, content, links, others, metadata, done };
    struct item {
        std::uint32_t at = 0;  ///< index into the entries
        bool ancestor = false; ///< only on the way to what was asked for
        bool placed = false;
        bool made = false; ///< a folder that was not there before
    };
    /// A failed wish for content, until a later member of the same name grants it.
    struct wish {
        std::uint32_t item = 0;
        std::string refusal;
    };

    void choose_state(std::stop_token const& stop);
    void select();
    std::string relative(std::string path) const;
    void add_wishes();
    void check_archives();
    void open_target();

    void one_step(item& what);
    void make_folder(item& what);
    void link(item& what);
    void make_other(item& what);
    void finish_folder(item& what);
    bool read_archive(std::stop_token const& stop);
    void take(tar_reader::member const& found, std::stop_token const& stop);
    void refuse_rest(std::string const& why);
    bool place_content(item& what, wish& asked, std::stop_token const& stop);

    entry const& of(item const& what) const { return from_.state.entries[what.at]; }
    /// The folder that `path` lies in; -1 with errno set.
    int parent_folder(std::string_view path);
    void apply(int file, entry const& what);
    void problem_with(std::string const& path, std::string const& message) {
        report_.errors.push_back({path, message});
    }
    void problem_with(entry const& e, int number) { problem_with(e.path, system_message(number)); }

    restore_options options_;
    restore_report report_;
    std::string shown_;
    descriptor archives_, target_;
    loaded from_;
    std::vector<item> items_;
    std::map<std::string, std::uint32_t>
        stand_ins_; ///< leader not asked for -> item that gets its content
    std::vector<std::unordered_map<std::string_view, wish>>
        wishes_; ///< for each archive, by member name
    std::uint64_t bytes_wanted_ = 0;

    phase phase_ = phase::folders;
    std::size_t next_ = 0;
    std::size_t archive_ = 0; ///< one above the archive that is being read
    descriptor archive_file_;
    std::optional<tar_reader> reader_;
    std::optional<hasher> hash_;
    descriptor parent_;
    std::string parent_path_;
};

} // namespace trawl::backup::detail
