#include "backup/extracting.hpp"

#include "backup/local_store.hpp"
#include "backup/sealed.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

bool all_zero(std::string_view bytes) {
    return bytes.empty() || (bytes.front() == '\0' &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

std::pair<std::string, std::string> mark_of(tail_name const& tail) {
    return {tail_attribute, std::to_string(tail.offset)};
}

/// Of a member that is one; not of a file that only has such a name.
std::optional<tail_name> tail_of(entry const& e) {
    auto tail = tail_name::parse(e.path);
    if (tail &&
        std::find(e.attributes.begin(), e.attributes.end(), mark_of(*tail)) == e.attributes.end())
        tail.reset();
    return tail;
}

/// False when the file is shorter.
bool copy_up_to(std::uint64_t size, int from, int to, std::string const& where,
                std::stop_token const& stop) {
    std::string piece(std::size_t(1) << 20, '\0');
    for (std::uint64_t at = 0; at < size;) {
        stop_point(stop);
        auto const most =
            static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size - at));
        auto const n = ::pread(from, piece.data(), most, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        auto const bytes = std::string_view(piece).substr(0, static_cast<std::size_t>(n));
        if (!all_zero(bytes)) write_at(to, bytes, at, where);
        at += bytes.size();
    }
    return true;
}

} // namespace

void extracting::prepare(std::stop_token const&) {
    for (auto const& archive : options_.archives) {
        bytes_wanted_ += files_.emplace_back(open(archive))->size();
    }
    std::error_code ec;
    std::filesystem::create_directories(options_.target, ec);
    if (ec) throw error(ec, "backup extract " + options_.target.string());
    target_ = open_folder(options_.target.string());
    into_.emplace(target_.get(),
                  [this](std::string const& path, std::string const& why) { refuse(path, why); });
}

bool extracting::advance(std::stop_token const& stop) {
    stop_point(stop);
    if (!reader_ && !next_archive()) return finish_folders(), false;
    try {
        if (auto const found = reader_->next()) {
            put(*found, stop);
            bytes_done_ = std::max(bytes_done_, reader_->bytes_read());
            return true;
        }
    } catch (std::system_error const&) {
        throw;
    } catch (std::runtime_error const& damage) {
        report_.corrupt = true;
        refuse(options_.archives[next_ - 1].string(),
               std::string("is damaged, what is behind that is lost: ") + damage.what());
    }
    reader_.reset();
    return true;
}

std::unique_ptr<stored_file> extracting::open(std::filesystem::path const& archive) const {
    auto file = open_local(archive);
    auto const head = head_of(*file);
    if (!is_sealed(head)) return file;
    auto const where = "backup extract " + archive.string();
    if (!options_.key) throw error(errc::no_key, where);
    if (opener::look_at(*options_.key, head) == opener::verdict::other_key)
        throw error(errc::wrong_key, where);
    return decrypted(std::move(file), archive.string(), *options_.key);
}

bool extracting::next_archive() {
    if (next_ == files_.size()) return false;
    reader_.emplace(*files_[next_++]);
    return true;
}

void extracting::put(tar_reader::member const& found, std::stop_token const& stop) {
    auto const& e = found.what;
    if (!e.path.empty() && !is_clean(e.path)) return refuse(e.path, "leads out of the target");
    if (!found.known) return refuse(e.path, "is of a type that is not known");
    if (e.hard_link && !is_clean(e.link))
        return refuse(e.path, "is a link to " + e.link + ", which leads out of the target");
    if (!make_parents(parent_of(e.path))) return refuse(e.path, system_message(errno));
    bool made = false;
    if (e.type == file_type::folder) {
        made = into_->make_folder(e) != placer::folder_state::missing;
        if (made) folders_.push_back(e);
    } else if (e.path.empty()) {
        return refuse(".", "is no folder");
    } else if (e.hard_link) {
        made = into_->make_link(e, e.link);
    } else if (e.type == file_type::regular) {
        auto const tail = tail_of(e);
        made = has_room(found) && (tail ? put_tail(e, *tail, stop) : put_file(e, stop));
    } else
        made = into_->make_other(e);
    report_.entries += made;
}

bool extracting::put_file(entry const& what, std::stop_token const& stop) {
    auto file = into_->begin_file(what);
    if (!file) return false;
    put_data(*file, what, 0, stop);
    return into_->finish_file(what, std::move(*file));
}

// What was appended to a file goes behind what an earlier archive has brought of it.
bool extracting::put_tail(entry const& what, tail_name const& tail, std::stop_token const& stop) {
    auto const before = open_beneath(target_.get(), tail.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat facts {};
    if (before && ::fstat(before.get(), &facts) == 0 && S_ISREG(facts.st_mode)) {
        auto whole = what;
        whole.path = tail.path;
        std::erase(whole.attributes, mark_of(tail));
        auto file = into_->begin_file(whole);
        if (!file) return false;
        if (copy_up_to(tail.offset, before.get(), file->file.get(), tail.path, stop)) {
            put_data(*file, whole, tail.offset, stop);
            return into_->finish_file(whole, std::move(*file));
        }
    }
    refuse(what.path, "is only what was appended to " + tail.path +
                          ", the beginning of which is in an earlier archive");
    return put_file(what, stop);
}

void extracting::put_data(placer::partial& into, entry const& what, std::uint64_t at,
                          std::stop_token const& stop) {
    for (auto piece = reader_->data(); !piece.empty(); piece = reader_->data()) {
        stop_point(stop);
        if (!all_zero(piece)) write_at(into.file.get(), piece, at, what.path);
        at += piece.size();
        report_.bytes += piece.size();
    }
    if (::ftruncate(into.file.get(), static_cast<off_t>(at)) != 0) fail(errno, what.path);
}

// A bomb says in its header how large it is going to be.
bool extracting::has_room(tar_reader::member const& found) {
    struct statvfs room {};
    if (found.sparse || ::fstatvfs(target_.get(), &room) != 0) return true;
    if (found.what.size <= std::uint64_t(room.f_bavail) * room.f_frsize) return true;
    refuse(found.what.path,
           std::to_string(found.what.size) + " bytes: more than there is room for");
    return false;
}

// Folders that no member says anything of. Follows no link, and any depth is well.
bool extracting::make_parents(std::string_view path) {
    if (parent_ == path) return true;
    auto at = open_beneath(target_.get(), "", O_RDONLY | O_DIRECTORY);
    for (auto rest = path; at && !rest.empty();) {
        auto const slash = std::min(rest.find('/'), rest.size());
        std::string const part(rest.substr(0, slash));
        rest.remove_prefix(std::min(slash + 1, rest.size()));
        if (::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST) return false;
        at = descriptor(
            ::openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    }
    if (!at) return false;
    parent_ = path;
    return true;
}

// The last member of a name counts; the deepest folders first, as filling one changes its time.
void extracting::finish_folders() {
    std::map<std::string_view, entry const*> last;
    for (auto const& e : folders_) last[e.path] = &e;
    for (auto e = last.rbegin(); e != last.rend(); ++e) into_->finish_folder(*e->second);
}

extract_report extracting::result() && {
    if (into_ && into_->left_out() > 0)
        report_.notes.push_back({{},
                                 "owners, device numbers or attributes of " +
                                     std::to_string(into_->left_out()) +
                                     " objects were left out: setting them takes root"});
    return std::move(report_);
}

} // namespace trawl::backup::detail
