#include "backup/restoring.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::size_t items_in_a_slice = 256;
constexpr std::uint64_t bytes_in_a_slice = 4 << 20;

/// A name that a restore which was killed may have left; the next one with the same number takes it
/// over.
std::string partial_name() { return ".trawl-restore." + std::to_string(::getpid()) + ".partial"; }

/// Removes a temporary name unless it was renamed.
class partial {
public:
    explicit partial(int folder) : folder_(folder), name_(partial_name()) {
        ::unlinkat(folder_, name_.c_str(), 0);
    }
    partial(partial const&) = delete;
    ~partial() {
        // Renaming one hard link over another of the same file does nothing and leaves both.
        ::unlinkat(folder_, name_.c_str(), 0);
    }
    char const* name() const noexcept { return name_.c_str(); }
    /// 0 or errno.
    int become(std::string_view leaf) {
        return ::renameat(folder_, name(), folder_, std::string(leaf).c_str()) == 0 ? 0 : errno;
    }

private:
    int folder_;
    std::string name_;
};

mode_t node_kind(file_type type) {
    switch (type) {
    case file_type::fifo: return S_IFIFO;
    case file_type::character: return S_IFCHR;
    case file_type::block: return S_IFBLK;
    default: return S_IFSOCK;
    }
}

bool am_root() { return ::geteuid() == 0; }

} // namespace

void restoring::prepare(std::stop_token const& stop) {
    choose_state(stop);
    select();
    add_wishes();
    check_archives();
    open_target();
    hash_.emplace(from_.state.algorithm);
    archive_ = wishes_.size();
}

void restoring::choose_state(std::stop_token const& stop) {
    shown_ = options_.archives.string();
    archives_ = open_archives(shown_);
    options_.name = choose_name(archives_.get(), shown_, options_.name);
    std::optional<std::int64_t> until;
    if (options_.at)
        until =
            std::chrono::duration_cast<std::chrono::nanoseconds>(options_.at->time_since_epoch())
                .count();
    std::vector<problem> damage;
    from_ = newest(archives_.get(), shown_, options_.name, until, damage, stop);
    report_.corrupt = !damage.empty();
    report_.errors = std::move(damage);
    report_.manifest = options_.archives / from_.file;
}

std::string restoring::relative(std::string path) const {
    auto const& root = from_.state.root;
    if (path.starts_with('/') && is_within(path, root)) path.erase(0, root.size());
    while (path.starts_with('/') || path.starts_with("./"))
        path.erase(0, path.front() == '/' ? 1 : 2);
    while (path.ends_with('/')) path.pop_back();
    return path == "." ? std::string() : path;
}

void restoring::select() {
    auto const& entries = from_.state.entries;
    std::vector<char> chosen(entries.size(), options_.paths.empty() ? 2 : 0); // 1: ancestor
    for (auto const& asked : options_.paths) {
        auto const path = relative(asked);
        bool any = false;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (is_within(entries[i].path, path))
                chosen[i] = 2, any = true;
            else if (is_within(path, entries[i].path))
                chosen[i] = std::max(chosen[i], char(1));
        }
        if (!any) problem_with(asked, "is not in this backup");
    }
    for (std::size_t i = 0; i < entries.size(); ++i)
        if (chosen[i])
            items_.push_back({static_cast<std::uint32_t>(i), chosen[i] == 1, false, false});
}

// Which member of which archive brings the content of which item.
void restoring::add_wishes() {
    wishes_.resize(from_.state.chain.size());
    for (std::uint32_t i = 0; i < items_.size(); ++i) {
        auto const& e = of(items_[i]);
        auto const* holder = &e;
        if (e.hard_link) {
            holder = from_.state.find(e.link);
            auto const at = static_cast<std::uint32_t>(holder - from_.state.entries.data());
            bool const chosen =
                std::binary_search(items_.begin(), items_.end(), item{at, false, false, false},
                                   [](item const& a, item const& b) { return a.at < b.at; });
            if (chosen || !stand_ins_.try_emplace(e.link, i).second) continue;
        }
        if (!holder->has_content()) continue;
        wishes_[holder->archive].try_emplace(holder->path, wish{i, {}});
        bytes_wanted_ += holder->size;
    }
}

void restoring::check_archives() {
    for (std::size_t i = 0; i < wishes_.size(); ++i) {
        if (wishes_[i].empty()) continue;
        auto const& name = from_.state.chain[i].archive;
        if (::faccessat(archives_.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            throw error(errc::no_such_archive, "backup " + shown_ + "/" + name,
                        from_.file + " needs it");
    }
}

void restoring::open_target() {
    std::error_code ec;
    std::filesystem::create_directories(options_.target, ec);
    if (ec) throw error(ec, "backup restore " + options_.target.string());
    target_ = open_folder(options_.target.string());
}

bool restoring::advance(std::stop_token const& stop) {
    if (phase_ == phase::content) {
        if (!read_archive(stop)) phase_ = phase::links, next_ = 0;
        return true;
    }
    for (std::size_t n = 0; n < items_in_a_slice && next_ < items_.size(); ++n, ++next_) {
        stop_point(stop);
        one_step(items_[phase_ == phase::metadata ? items_.size() - 1 - next_ : next_]);
    }
    if (next_ < items_.size()) return true;
    next_ = 0;
    phase_ = static_cast<phase>(static_cast<int>(phase_) + 1);
    return phase_ != phase::done;
}

void restoring::one_step(item& what) {
    auto const type = of(what).type;
    switch (phase_) {
    case phase::folders:
        if (type == file_type::folder) make_folder(what);
        return;
    case phase::links:
        if (of(what).hard_link && !what.placed) link(what);
        return;
    case phase::others:
        if (type != file_type::folder && type != file_type::regular) make_other(what);
        return;
    case phase::metadata:
        if (type == file_type::folder) finish_folder(what);
        return;
    case phase::content:
    case phase::done: return;
    }
}

int restoring::parent_folder(std::string_view path) {
    auto const folder = parent_of(path);
    if (folder.empty()) return target_.get();
    if (!parent_ || parent_path_ != folder) {
        parent_ = open_beneath(target_.get(), folder, O_RDONLY | O_DIRECTORY);
        parent_path_ = folder;
    }
    return parent_.get();
}

void restoring::make_folder(item& what) {
    auto const& e = of(what);
    what.placed = true;
    if (e.path.empty()) return;
    std::string const leaf(leaf_of(e.path));
    int const in = parent_folder(e.path);
    if (in >= 0 && ::mkdirat(in, leaf.c_str(), 0700) == 0) {
        what.made = true;
        return;
    }
    struct stat facts {};
    int number = errno;
    if (number == EEXIST && ::fstatat(in, leaf.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(facts.st_mode)) {
            // One of our own that cannot be written into would refuse what comes; its mode is set
            // at the end.
            if (!am_root() && (facts.st_mode & 0700) != 0700)
                ::fchmodat(in, leaf.c_str(), (facts.st_mode & 07777) | 0700, 0);
            return;
        }
        number = ENOTDIR;
    }
    what.placed = false;
    problem_with(e, number);
}

// False when no archive is left.
bool restoring::read_archive(std::stop_token const& stop) {
    if (!reader_) {
        while (archive_ > 0 && wishes_[archive_ - 1].empty()) --archive_;
        if (archive_ == 0) return false;
    }
    auto const& name = from_.state.chain[archive_ - 1].archive;
    try {
        if (!reader_) {
            archive_file_ = open_beneath(archives_.get(), name, O_RDONLY);
            if (!archive_file_) throw std::runtime_error(system_message(errno));
            reader_.emplace(archive_file_.get());
        }
        auto const before = report_.bytes;
        for (std::size_t n = 0; n < items_in_a_slice; ++n) {
            stop_point(stop);
            auto const found = wishes_[archive_ - 1].empty() ? std::nullopt : reader_->next();
            if (!found) {
                refuse_rest("is not in " + name);
                break;
            }
            take(*found, stop);
            if (report_.bytes - before > bytes_in_a_slice) break;
        }
    } catch (std::system_error const&) {
        throw; // cancelled, or the target's disk
    } catch (std::runtime_error const& damage) {
        refuse_rest(name + ": " + damage.what());
    }
    return true;
}

// The archive has ended, for good or ill: what is still wished for is not to be had.
void restoring::refuse_rest(std::string const& why) {
    for (auto const& [path, asked] : wishes_[archive_ - 1]) {
        report_.corrupt = true;
        problem_with(of(items_[asked.item]).path, asked.refusal.empty() ? why : asked.refusal);
    }
    reader_.reset();
    archive_file_.reset();
    --archive_;
}

void restoring::take(tar_reader::member const& found, std::stop_token const& stop) {
    auto const& name = from_.state.chain[archive_ - 1].archive;
    if (!found.path.empty() && !is_clean(found.path)) {
        report_.corrupt = true;
        return problem_with(found.path, "refused: a path in " + name + " that leads elsewhere");
    }
    auto& wishes = wishes_[archive_ - 1];
    auto const at = wishes.find(found.path);
    if (at == wishes.end()) return; // a folder, a link, or a state that a later backup replaced
    auto& what = items_[at->second.item];
    auto const* holder = from_.state.find(found.path);
    if (!found.regular || found.size != holder->size) {
        at->second.refusal = "refused: not the size or kind in " + name + " that the manifest has";
        return;
    }
    if (!place_content(what, at->second, stop))
        return; // perhaps a later member of this name is the one
    if (what.placed) {
        ++report_.entries;
        report_.bytes += holder->size;
    }
    wishes.erase(at);
}

// False when the content is not what the manifest says; true when it is in place or the trouble is
// on this side and has been reported.
bool restoring::place_content(item& what, wish& asked, std::stop_token const& stop) {
    auto const& e = of(what);
    auto const& holder = e.hard_link ? *from_.state.find(e.link) : e;
    int const in = parent_folder(e.path);
    if (in < 0) return problem_with(e, errno), true;
    partial temporary(in);
    descriptor file(
        ::openat(in, temporary.name(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) return problem_with(e, errno), true;
    hash_->finish();
    for (;;) {
        stop_point(stop);
        auto const piece = reader_->data();
        if (piece.empty()) break;
        hash_->update(piece);
        write_all(file.get(), piece, options_.target.string() + "/" + e.path);
    }
    if (hash_->finish() != holder.content) {
        asked.refusal = "its content in " + from_.state.chain[archive_ - 1].archive +
                        " has another hash than the manifest";
        return false;
    }
    apply(file.get(), holder);
    if (int const number = temporary.become(leaf_of(e.path))) return problem_with(e, number), true;
    return what.placed = true;
}

void restoring::link(item& what) {
    auto const& e = of(what);
    auto leader = e.link;
    if (auto const at = stand_ins_.find(leader); at != stand_ins_.end())
        leader = of(items_[at->second]).path;
    if (leader == e.path) return; // was to bring the content, and has been named if it did not
    auto const first = open_beneath(target_.get(), parent_of(leader), O_PATH | O_DIRECTORY);
    int const in = first ? parent_folder(e.path) : -1;
    if (in < 0) return problem_with(e, errno);
    partial temporary(in);
    std::string const leaf(leaf_of(leader));
    int number = 0;
    if (::linkat(first.get(), leaf.c_str(), in, temporary.name(), 0) != 0)
        number = errno;
    else
        number = temporary.become(leaf_of(e.path));
    if (number) return problem_with(e, number);
    what.placed = true;
    ++report_.entries;
}

void restoring::make_other(item& what) {
    auto const& e = of(what);
    int const in = parent_folder(e.path);
    if (in < 0) return problem_with(e, errno);
    partial temporary(in);
    int result = 0;
    if (e.type == file_type::symlink)
        result = ::symlinkat(e.link.c_str(), in, temporary.name());
    else
        result = ::mknodat(in, temporary.name(), node_kind(e.type) | 0600, e.device);
    if (result != 0) return problem_with(e, errno);
    if (am_root() && ::fchownat(in, temporary.name(), e.uid, e.gid, AT_SYMLINK_NOFOLLOW) != 0)
        problem_with(e, errno);
    if (e.type != file_type::symlink && ::fchmodat(in, temporary.name(), e.mode, 0) != 0)
        problem_with(e, errno);
    timespec const times[2] = {{0, UTIME_NOW}, to_timespec(e.mtime_ns)};
    if (::utimensat(in, temporary.name(), times, AT_SYMLINK_NOFOLLOW) != 0) problem_with(e, errno);
    if (int const number = temporary.become(leaf_of(e.path))) return problem_with(e, number);
    what.placed = true;
    ++report_.entries;
}

void restoring::finish_folder(item& what) {
    auto const& e = of(what);
    if (!what.placed || (what.ancestor && !what.made)) return;
    auto const folder = open_beneath(target_.get(), e.path, O_RDONLY | O_DIRECTORY);
    if (!folder) return problem_with(e, errno);
    apply(folder.get(), e);
    ++report_.entries;
}

// Owner first: chown drops setuid bits and capabilities. Times last: all else may change them.
void restoring::apply(int file, entry const& what) {
    auto mode = what.mode;
    if (am_root()) {
        if (::fchown(file, what.uid, what.gid) != 0) problem_with(what, errno);
    } else {
        struct stat facts {};
        bool const own =
            ::fstat(file, &facts) == 0 && facts.st_uid == what.uid && facts.st_gid == what.gid;
        if (!own) mode &= 01777u; // setuid for another user than the one who set it is no restore
    }
    for (auto const& [name, value] : what.attributes) {
        if (::fsetxattr(file, name.c_str(), value.data(), value.size(), 0) == 0) continue;
        bool const only_root_may = !name.starts_with("user.") && !name.starts_with("system.");
        if (am_root() || !only_root_may)
            problem_with(what.path, name + ": " + system_message(errno));
    }
    if (::fchmod(file, mode) != 0) problem_with(what, errno);
    timespec const times[2] = {{0, UTIME_NOW}, to_timespec(what.mtime_ns)};
    if (::futimens(file, times) != 0) problem_with(what, errno);
}

} // namespace trawl::backup::detail
