#include "backup/restoring.hpp"

#include "backup/selection.hpp"
#include "backup/sparse.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {
constexpr std::size_t items_in_a_slice = 512;
}

void restoring::prepare(std::stop_token const& stop) {
    choose_state(stop);
    choose_items();
    add_wishes();
    open_archives_of_wishes();
    open_target();
    plan_jobs();
}

void restoring::choose_state(std::stop_token const& stop) {
    store_ = open_archives(options_.store, options_.archives);
    shown_ = store_->where();
    options_.name = choose_name(*store_, options_.name);
    std::vector<problem> damage;
    from_ = newest(*store_, options_.name, since_1970(options_.at), damage, stop);
    report_.corrupt = !damage.empty();
    report_.errors = std::move(damage);
    report_.manifest = store_->shown(from_.file);
}

void restoring::choose_items() {
    auto const made = select(from_.state, options_.paths);
    for (auto const& path : made.unknown) report_.errors.push_back({path, "is not in this backup"});
    for (std::uint32_t i = 0; i < made.choices.size(); ++i)
        if (made.choices[i] != choice::no)
            items_.push_back({i, made.choices[i] == choice::ancestor, false, false});
}

restoring::item* restoring::item_of(entry const& e) {
    auto const at = static_cast<std::uint32_t>(&e - from_.state.entries.data());
    auto const found = std::lower_bound(items_.begin(), items_.end(), at,
                                        [](item const& a, std::uint32_t b) { return a.at < b; });
    return found != items_.end() && found->at == at ? &*found : nullptr;
}

// Which content goes into which item: a hard link gets that of its leader when that one was not
// asked for.
void restoring::add_wishes() {
    for (std::uint32_t i = 0; i < items_.size(); ++i) {
        auto const* content = &of(items_[i]);
        if (content->hard_link) {
            content = from_.state.find(content->link);
            if (item_of(*content) || !stand_ins_.try_emplace(content->path, i).second) continue;
        }
        if (!content->has_content()) continue;
        wishes_.push_back({content, i});
        bytes_wanted_ += stored_bytes(*content);
    }
}

// All of them before anything is made: what is open can be read to its end, whoever deletes it.
void restoring::open_archives_of_wishes() {
    std::vector<bool> wanted(from_.state.chain.size());
    for (auto const& w : wishes_)
        for_each_stretch(*w.content, [&wanted](stretch const& s) { wanted[s.archive] = true; });
    archives_ = open_chain(*store_, from_.state.chain, wanted);
    for (std::size_t i = 0; i < wanted.size(); ++i)
        if (wanted[i] && !archives_[i].file)
            throw error(errc::no_such_archive, "backup " + shown_ + "/" + archives_[i].name,
                        from_.file + " needs it");
}

void restoring::open_target() {
    std::error_code ec;
    std::filesystem::create_directories(options_.target, ec);
    if (ec) throw error(ec, "backup restore " + options_.target.string());
    target_ = open_folder(options_.target.string());
}

void restoring::plan_jobs() {
    jobs_.clear();
    next_ = 0;
    switch (phase_) {
    case phase::folders: jobs_.push_back({job::folders, 0, items_.size()}); return;
    case phase::contents:
        for (auto const& s : arrange(wishes_, archives_))
            jobs_.push_back({job::contents, s.begin, s.end});
        return plan_slices(job::others);
    case phase::links: return plan_slices(job::links);
    case phase::metadata:
        plan_slices(job::metadata);
        std::reverse(jobs_.begin(), jobs_.end());
        // A folder that its owner cannot enter any more would keep us out of those beneath.
        if (::geteuid() != 0) jobs_ = {{job::metadata, 0, items_.size()}};
        return;
    case phase::done: return;
    }
}

void restoring::plan_slices(decltype(job::what) what) {
    for (std::size_t begin = 0; begin < items_.size(); begin += items_in_a_slice)
        jobs_.push_back({what, begin, std::min(begin + items_in_a_slice, items_.size())});
}

bool restoring::next_phase() {
    phase_ = static_cast<phase>(static_cast<int>(phase_) + 1);
    plan_jobs();
    return phase_ != phase::done;
}

bool restoring::advance(std::stop_token const& stop) {
    auto const mine = next_++;
    if (mine >= jobs_.size()) return false;
    carry_out(jobs_[mine], stop);
    return true;
}

void restoring::carry_out(job const& now, std::stop_token const& stop) {
    tally done;
    placer into(target_.get(), [&done](std::string const& path, std::string const& why) {
        done.errors.push_back({path, why});
    });
    if (now.what == job::contents)
        restore_contents(now, into, done, stop);
    else
        for (auto i = now.begin; i < now.end; ++i) {
            stop_point(stop);
            auto const at = now.what == job::metadata ? now.end - 1 - (i - now.begin) : i;
            one_item(now, items_[at], into, done);
        }
    done.left_out = into.left_out();
    add(std::move(done));
}

void restoring::one_item(job const& now, item& what, placer& into, tally& done) {
    auto const& e = of(what);
    bool const folder = e.type == file_type::folder;
    if (now.what == job::folders && folder) {
        auto const found = into.make_folder(e);
        what.placed = found != placer::folder_state::missing;
        what.made = found == placer::folder_state::made;
    } else if (now.what == job::others && !folder && e.type != file_type::regular) {
        done.entries += into.make_other(e);
    } else if (now.what == job::links && e.hard_link && !what.placed) {
        make_link(what, into, done);
    } else if (now.what == job::metadata && folder && what.placed &&
               (!what.ancestor || what.made)) {
        done.entries += into.finish_folder(e);
    }
}

void restoring::make_link(item& what, placer& into, tally& done) {
    auto const& e = of(what);
    auto const stand_in = stand_ins_.find(e.link);
    auto const* leader = stand_in != stand_ins_.end() ? &items_[stand_in->second]
                                                      : item_of(*from_.state.find(e.link));
    if (leader == &what) return; // was to bring the content, and has been named
    if (!leader->placed)
        done.errors.push_back(
            {e.path, "is a link to " + of(*leader).path + ", which is not there"});
    else
        done.entries += what.placed = into.make_link(e, of(*leader).path);
}

void restoring::restore_contents(job const& now, placer& into, tally& done,
                                 std::stop_token const& stop) {
    content_reader reader(archives_, wishes_[now.begin].content->archive, from_.state.algorithm);
    for (auto i = now.begin; i < now.end; ++i) {
        stop_point(stop);
        auto& what = items_[wishes_[i].number];
        auto const& content = *wishes_[i].content;
        try {
            what.placed = restore_file(what, content, reader, into, stop);
        } catch (std::system_error const&) {
            throw; // cancelled, or the target's disk
        } catch (std::runtime_error const& damage) {
            done.corrupt = true;
            done.errors.push_back({of(what).path, reader.archive() + ": " + damage.what()});
        }
        bytes_done_ += stored_bytes(content);
        if (!what.placed) continue;
        ++done.entries;
        done.bytes += content.size;
    }
}

bool restoring::restore_file(item& what, entry const& content, content_reader& from, placer& into,
                             std::stop_token const& stop) {
    auto const& e = of(what);
    auto const shown = [&] { return options_.target.string() + "/" + e.path; };
    std::string_view all;
    bool const checked = content.stored == 0 && from.whole(content, all); // before there is a file
    auto file = into.begin_file(e);
    if (!file) return false;
    int const number = file->file.get();
    if (checked)
        write_all(number, all, shown());
    else if (content.stored == 0)
        from.read(content, stop,
                  [&](std::string_view bytes) { write_all(number, bytes, shown()); });
    else {
        sparse_reader holes(content.size);
        bool sound = true;
        from.read(content, stop, [&](std::string_view bytes) {
            sound = sound && holes.feed(bytes, [&](std::uint64_t at, std::string_view piece) {
                write_at(number, piece, at, shown());
            });
        });
        if (!sound || !holes.complete()) throw std::runtime_error("its map of holes is not sound");
        if (::ftruncate(number, static_cast<off_t>(content.size)) != 0) fail(errno, shown());
    }
    if (!e.hard_link) return into.finish_file(e, std::move(*file));
    auto stand_in = content; // with its attributes
    stand_in.path = e.path;
    return into.finish_file(stand_in, std::move(*file));
}

void restoring::add(tally done) {
    std::lock_guard const lock(adding_);
    report_.entries += done.entries;
    report_.bytes += done.bytes;
    report_.corrupt = report_.corrupt || done.corrupt;
    left_out_ += done.left_out;
    std::move(done.errors.begin(), done.errors.end(), std::back_inserter(report_.errors));
}

restore_report restoring::result() && {
    // In the order of paths, whichever thread came first.
    std::stable_sort(report_.errors.begin(), report_.errors.end(),
                     [](problem const& a, problem const& b) { return a.path < b.path; });
    if (left_out_ > 0)
        report_.notes.push_back({{},
                                 "owners, device numbers or attributes of " +
                                     std::to_string(left_out_) +
                                     " objects were left out: setting them takes root"});
    return std::move(report_);
}

} // namespace trawl::backup::detail
