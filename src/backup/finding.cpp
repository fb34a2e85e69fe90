#include "backup/finding.hpp"

#include "backup/selection.hpp"
#include "backup/sparse.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace trawl::backup::detail {

void finding::find(std::stop_token const& stop) {
    store_ = open_archives(options_.store, options_.archives);
    shown_ = store_->where();
    options_.name = choose_name(*store_, options_.name);
    auto const where = "backup " + shown_ + " " + options_.name;
    std::vector<problem> damage;
    auto const latest = latest_of(options_.name);
    if (!options_.at && look_in(latest, stop)) return;
    for (auto const& file : candidates(*store_, options_.name, since_1970(options_.at), damage))
        if ((options_.at || file != latest) && look_in(file, stop)) return;
    if (damage.empty()) throw_none(*store_, options_.name);
    throw error(errc::corrupt, where, damage.front().path + ": " + damage.front().message);
}

// False when there is no such file of the folder.
bool finding::look_in(std::string const& file, std::stop_token const& stop) {
    auto const where = shown_ + "/" + file;
    auto const opened = store_->read(file);
    if (!opened) return false;
    std::string complaint;
    std::string_view lines;
    auto head = parse_head(opened->view(), lines, complaint);
    if (!head) throw error(errc::corrupt, "backup " + where, complaint);
    file_ = file;
    head_ = std::move(*head);
    auto const path = relative_to(head_.root, options_.path);
    auto found = find_entry(lines, head_, path, complaint);
    if (found && found->hard_link) found = find_entry(lines, head_, found->link, complaint);
    if (!found) {
        // Is it not there, or was the search led astray? The whole of the file tells.
        load(*store_, file, stop);
        throw error(system_code(ENOENT), "backup " + where + ": " + options_.path);
    }
    entry_ = std::move(*found);
    must_be_file(path);
    return true;
}

void finding::must_be_file(std::string const& path) const {
    auto const where = "backup " + shown_ + "/" + file_ + ": " + path;
    if (entry_.type == file_type::folder) throw error(system_code(EISDIR), where);
    if (entry_.type == file_type::symlink)
        throw error(system_code(ENOTSUP), where, "is a symbolic link to " + entry_.link);
    if (!entry_.has_content()) throw error(system_code(ENOTSUP), where, "is no regular file");
}

void finding::read(std::stop_token const& stop, std::function<void(std::string_view)> const& take) {
    std::vector<bool> wanted(head_.chain.size());
    for_each_stretch(entry_, [&wanted](stretch const& s) { wanted[s.archive] = true; });
    auto const archives = open_chain(*store_, head_.chain, wanted);
    auto const where = "backup " + shown_ + "/";
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (wanted[i] && !archives[i].file)
            throw error(errc::no_such_archive, where + archives[i].name, file_ + " needs it");
    std::string const zeros(64 * 1024, '\0');
    std::uint64_t given = 0;
    auto const fill = [&](std::uint64_t up_to) {
        while (given < up_to) {
            stop_point(stop);
            auto const n = std::min<std::uint64_t>(up_to - given, zeros.size());
            take(std::string_view(zeros).substr(0, static_cast<std::size_t>(n)));
            given += n;
        }
    };
    content_reader reader(archives, entry_.archive, head_.algorithm);
    try {
        std::string_view all;
        if (entry_.stored != 0) {
            sparse_reader holes(entry_.size);
            bool sound = true;
            reader.read(entry_, stop, [&](std::string_view bytes) {
                sound = sound && holes.feed(bytes, [&](std::uint64_t at, std::string_view piece) {
                    fill(at);
                    take(piece);
                    given += piece.size();
                });
            });
            if (!sound || !holes.complete())
                throw std::runtime_error("its map of holes is not sound");
            fill(entry_.size);
        } else if (reader.whole(entry_, all)) { // checked before any of it goes out
            if (!all.empty()) take(all);
        } else
            reader.read(entry_, stop, take);
    } catch (std::system_error const&) {
        throw;
    } catch (std::runtime_error const& damage) {
        throw error(errc::corrupt, where + reader.archive() + ": " + options_.path, damage.what());
    }
}

} // namespace trawl::backup::detail
