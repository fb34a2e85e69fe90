#include "backup/walk.hpp"

#include "backup/files.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view cache_tag = "CACHEDIR.TAG";
/// https://bford.info/cachedir/
constexpr std::string_view cache_signature = "Signature: 8a477f597d28d172789f06886806bc55";
/// An ignore file beyond that is none.
constexpr std::size_t most_ignore_bytes = std::size_t(1) << 20;

/// The ignore files from the source down to a folder.
struct ignore_level {
    std::shared_ptr<ignore_level const> above;
    std::size_t folder_bytes = 0; ///< of its path and the slash behind it
    ignore_list list;
};

struct folder_found;

/// A name and its facts, in half the room of an entry: all of a tree are in memory at a time, until
/// they are entries.
struct found {
    std::string leaf;
    std::unique_ptr<std::string> link; ///< of a symlink
    std::uint64_t size = 0, inode = 0, device = 0, on_device = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    std::uint32_t mode = 0, uid = 0, gid = 0;
    file_type type = file_type::regular;
    bool several = false;          ///< may have other names
    folder_found* below = nullptr; ///< of a folder that is walked

    void keep(entry const& e) {
        size = e.size, inode = e.inode, device = e.device;
        mtime_ns = e.mtime_ns, ctime_ns = e.ctime_ns;
        mode = e.mode, uid = e.uid, gid = e.gid, type = e.type;
    }
    void tell(entry& e) const {
        e.size = size, e.inode = inode, e.device = device;
        e.mtime_ns = mtime_ns, e.ctime_ns = ctime_ns;
        e.mode = mode, e.uid = uid, e.gid = gid, e.type = type;
        if (link) e.link = *link;
    }
};

/// "folder/leaf"; of what is in the source itself "leaf".
void join(std::string& into, std::string const& folder, std::string const& leaf) {
    into.reserve(folder.size() + 1 + leaf.size());
    into = folder;
    if (!folder.empty()) into += '/';
    into += leaf;
}

/// A folder and, once it has been read, what is in it. Owned by the walk, at one place for good.
struct folder_found {
    std::string path;
    std::shared_ptr<ignore_level const> ignored;
    std::vector<found> names;
};

struct close_folder {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
};

struct listed {
    std::string leaf;
    ino_t inode;
};

/// As fstatat without following links, and the attributes of statx(2).
bool facts_of(int folder, char const* leaf, struct stat& facts, std::uint64_t& attributes) {
    struct statx x {};
    if (::statx(folder, leaf, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x) != 0)
        return false;
    facts.st_mode = x.stx_mode;
    facts.st_uid = x.stx_uid;
    facts.st_gid = x.stx_gid;
    facts.st_size = static_cast<off_t>(x.stx_size);
    facts.st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec};
    facts.st_ctim = {x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec};
    facts.st_ino = x.stx_ino;
    facts.st_nlink = x.stx_nlink;
    facts.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
    facts.st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
    attributes = x.stx_attributes;
    return true;
}

/// Up to `most` bytes of a regular file; nullopt: there is none to read.
std::optional<std::string> begin_of(int folder, std::string_view leaf, std::size_t most) {
    auto const file = open_beneath(folder, leaf, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat facts {};
    if (!file || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
    std::string bytes(std::min(most, static_cast<std::size_t>(facts.st_size)), '\0');
    auto const n = ::pread(file.get(), bytes.data(), bytes.size(), 0);
    if (n < 0) return std::nullopt;
    bytes.resize(static_cast<std::size_t>(n));
    return bytes;
}

/// What one thread has to tell beside the names.
struct tidings {
    std::vector<std::string> unread;
    std::vector<problem> errors;
    std::uint64_t excluded = 0;
    bool left_out = false;

    void cannot(std::string const& path, int number) {
        if (number == ENOENT && !path.empty()) return; // it went away
        unread.push_back(path);
        errors.push_back({path, system_message(number)});
    }
};

} // namespace

struct walker::state {
    state(int folder, walk_rules r) : root(folder), rules(std::move(r)) {
        struct stat facts {};
        if (::fstat(root, &facts) != 0) fail(errno, "source");
        describe(top, facts);
        device = facts.st_dev;
        folders.emplace_back();
        waiting.push_back(&folders.back());
    }

    /// The next folder to read; nullptr when all have been read.
    folder_found* next(std::stop_token const& stop) {
        std::unique_lock lock(guard);
        changed.wait(lock, [&] { return !waiting.empty() || busy == 0 || stopped; });
        if (stop.stop_requested()) stopped = true;
        if (waiting.empty() || stopped) {
            changed.notify_all();
            return nullptr;
        }
        auto* const folder = waiting.back();
        waiting.pop_back();
        ++busy;
        return folder;
    }

    void read(folder_found& folder, tidings& news, std::stop_token const& stop);
    bool list(DIR* stream, std::string const& path, std::vector<listed>& names,
              tidings& news) const;
    std::shared_ptr<ignore_level const> level_of(folder_found const& folder, int at,
                                                 std::vector<listed> const& names) const;
    bool leaves_out(std::string_view path, bool is_folder, ignore_level const* level) const;
    bool look_at(int folder, std::string const& parent, std::string const& leaf,
                 ignore_level const* level, found& into, tidings& news) const;
    void hand_over(folder_found& folder);
    template <class Take>
    void in_order(Take take);

    int root;
    walk_rules rules;
    entry top;
    std::uint64_t device = 0;

    std::mutex guard;
    std::condition_variable changed;
    std::deque<folder_found> folders; ///< grows, nothing moves
    std::vector<folder_found*> waiting;
    int busy = 0;
    bool stopped = false;
    tidings all;
};

walker::walker(int folder, walk_rules rules)
    : state_(std::make_unique<state>(folder, std::move(rules))) {}
walker::~walker() = default;

void walker::work(std::stop_token const& stop) {
    auto& s = *state_;
    tidings news;
    auto const leave = [&] {
        std::lock_guard const lock(s.guard);
        --s.busy;
        s.changed.notify_all();
    };
    while (auto* const folder = s.next(stop)) {
        try {
            s.read(*folder, news, stop);
        } catch (...) {
            {
                std::lock_guard const lock(s.guard);
                s.stopped = true;
            }
            leave();
            throw;
        }
        leave();
    }
    stop_point(stop);
    std::lock_guard const lock(s.guard);
    s.all.unread.insert(s.all.unread.end(), news.unread.begin(), news.unread.end());
    s.all.errors.insert(s.all.errors.end(), news.errors.begin(), news.errors.end());
    s.all.excluded += news.excluded;
    s.all.left_out |= news.left_out;
}

void walker::state::read(folder_found& folder, tidings& news, std::stop_token const& stop) {
    auto opened = open_beneath(root, folder.path, O_RDONLY | O_DIRECTORY);
    if (!opened) return news.cannot(folder.path, errno);
    std::unique_ptr<DIR, close_folder> const stream(::fdopendir(opened.get()));
    if (!stream) return news.cannot(folder.path, errno);
    int const at = opened.release(); // closedir closes it
    std::vector<listed> names;
    if (!list(stream.get(), folder.path, names, news)) return;
    if (rules.caches && begin_of(at, cache_tag, cache_signature.size()) == cache_signature)
        news.excluded += static_cast<std::uint64_t>(
            std::erase_if(names, [](listed const& name) { return name.leaf != cache_tag; }));
    // On a cold disk the order of inodes is the order of the blocks they lie in.
    std::sort(names.begin(), names.end(),
              [](listed const& a, listed const& b) { return a.inode < b.inode; });
    auto const level = level_of(folder, at, names);
    folder.ignored = level;
    folder.names.reserve(names.size());
    for (auto const& name : names) {
        stop_point(stop);
        found f;
        if (look_at(at, folder.path, name.leaf, level.get(), f, news))
            folder.names.push_back(std::move(f));
    }
    std::sort(folder.names.begin(), folder.names.end(),
              [](found const& a, found const& b) { return a.leaf < b.leaf; });
    hand_over(folder);
}

bool walker::state::list(DIR* stream, std::string const& path, std::vector<listed>& names,
                         tidings& news) const {
    for (;;) {
        errno = 0;
        auto const* name = ::readdir(stream);
        if (!name && errno != 0) return news.cannot(path, errno), false;
        if (!name) return true;
        std::string_view const leaf = name->d_name;
        if (leaf != "." && leaf != "..") names.push_back({std::string(leaf), name->d_ino});
    }
}

std::shared_ptr<ignore_level const>
walker::state::level_of(folder_found const& folder, int at,
                        std::vector<listed> const& names) const {
    auto const has_one = [&](listed const& name) { return name.leaf == rules.ignore_file; };
    if (std::none_of(names.begin(), names.end(), has_one)) return folder.ignored;
    auto const text = begin_of(at, rules.ignore_file, most_ignore_bytes);
    if (!text) return folder.ignored;
    auto level = std::make_shared<ignore_level>();
    level->above = folder.ignored;
    level->folder_bytes = folder.path.empty() ? 0 : folder.path.size() + 1;
    level->list = ignore_list(*text);
    return level;
}

bool walker::state::leaves_out(std::string_view path, bool is_folder,
                               ignore_level const* level) const {
    if (auto const verdict = rules.first.leaves_out(path, is_folder)) return *verdict;
    for (; level; level = level->above.get())
        if (auto const verdict =
                level->list.leaves_out(path.substr(level->folder_bytes), is_folder))
            return *verdict;
    return rules.last.leaves_out(path, is_folder).value_or(false);
}

// False when the name is not to be in the backup or could not be looked at.
bool walker::state::look_at(int folder, std::string const& parent, std::string const& leaf,
                            ignore_level const* level, found& into, tidings& news) const {
    entry e;
    join(e.path, parent, leaf);
    struct stat facts {};
    std::uint64_t attributes = 0;
    if (!facts_of(folder, leaf.c_str(), facts, attributes))
        return news.cannot(e.path, errno), false;
    describe(e, facts);
    bool const is_folder = e.type == file_type::folder;
    if (is_folder && facts.st_dev == rules.except.device && facts.st_ino == rules.except.inode) {
        news.left_out = true;
        return false;
    }
    bool const too_large = rules.max_file_bytes != 0 && e.size > rules.max_file_bytes;
    bool const not_dumped = rules.nodump && (attributes & STATX_ATTR_NODUMP) != 0;
    if (too_large || not_dumped || leaves_out(e.path, is_folder, level)) {
        ++news.excluded;
        return false;
    }
    into.leaf = leaf;
    into.keep(e);
    into.on_device = facts.st_dev;
    into.several = facts.st_nlink > 1;
    if (e.type == file_type::symlink) {
        if (auto target = link_target(folder, leaf))
            into.link = std::make_unique<std::string>(std::move(*target));
        else
            return news.cannot(e.path, errno), false;
    }
    return true;
}

// Its folders are for any thread now.
void walker::state::hand_over(folder_found& folder) {
    std::lock_guard const lock(guard);
    for (auto& f : folder.names) {
        if (f.type != file_type::folder) continue;
        if (rules.one_file_system && f.on_device != device) continue;
        auto& below = folders.emplace_back();
        join(below.path, folder.path, f.leaf);
        below.ignored = folder.ignored;
        f.below = &below;
        waiting.push_back(&below);
    }
    if (!waiting.empty()) changed.notify_all();
}

// In the order of manifests: what is in a folder follows right behind it. By a stack of our own:
// how deep a tree goes is not for us to bound.
template <class Take>
void walker::state::in_order(Take take) {
    struct place {
        folder_found* folder;
        std::size_t next = 0;
    };
    std::vector<place> stack{{&folders.front()}};
    while (!stack.empty()) {
        auto& [from, next] = stack.back();
        if (next == from->names.size()) {
            from->names = std::vector<found>(); // "= {}" would keep its memory
            stack.pop_back();
            continue;
        }
        auto& f = from->names[next++];
        auto* const below = f.below;
        take(from->path, f);
        if (below) stack.push_back({below});
    }
}

walked walker::result() {
    auto& s = *state_;
    walked result;
    std::size_t count = 1;
    for (auto const& folder : s.folders) count += folder.names.size();
    result.entries.reserve(count);
    result.entries.push_back(std::move(s.top));
    // The first path of an inode holds the content, the others are links to it.
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> leaders;
    s.in_order([&](std::string const& folder, found const& f) {
        auto& e = result.entries.emplace_back();
        join(e.path, folder, f.leaf);
        f.tell(e);
        if (f.type != file_type::regular || !f.several) return;
        auto const [at, first] =
            leaders.try_emplace({f.on_device, f.inode}, result.entries.size() - 1);
        e.hard_link = !first;
        if (!first) e.link = result.entries[at->second].path;
    });
    result.unread = std::move(s.all.unread);
    std::sort(result.unread.begin(), result.unread.end());
    result.errors = std::move(s.all.errors);
    std::sort(result.errors.begin(), result.errors.end(),
              [](problem const& a, problem const& b) { return path_before(a.path, b.path); });
    result.left_out = s.all.left_out;
    result.excluded = s.all.excluded;
    return result;
}

walk_rules rules_of(exclusions const& wanted, std::filesystem::path const& archives) {
    walk_rules r;
    struct stat own {};
    if (!archives.empty() && ::stat(archives.c_str(), &own) != 0) fail(errno, archives.string());
    if (!archives.empty()) r.except = {own.st_dev, own.st_ino};
    for (auto const& pattern : wanted.exclude) r.first.add(pattern);
    for (auto const& file : wanted.exclude_from) {
        descriptor const opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
        if (!opened) fail(errno, file.string());
        r.last.append(ignore_list(read_all(opened.get(), file.string())));
    }
    r.ignore_file = wanted.ignore_file;
    r.caches = wanted.exclude_caches;
    r.nodump = wanted.exclude_nodump;
    r.one_file_system = wanted.one_file_system;
    r.max_file_bytes = wanted.max_file_bytes;
    return r;
}

} // namespace trawl::backup::detail
