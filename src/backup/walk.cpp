#include "backup/walk.hpp"

#include "backup/files.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

struct found {
    entry what;
    std::uint64_t device = 0;
    nlink_t links = 1;
};

class walker {
public:
    walker(int root, identity except, std::stop_token const& stop)
        : root_(root), except_(except), stop_(stop) {}

    walked run() {
        struct stat facts {};
        if (::fstat(root_, &facts) != 0) fail(errno, "source");
        found top;
        describe(top.what, facts);
        found_.push_back(std::move(top));
        folders_.push_back({});
        while (!folders_.empty()) {
            auto const folder = std::move(folders_.back());
            folders_.pop_back();
            read_folder(folder);
        }
        std::sort(found_.begin(), found_.end(), [](found const& a, found const& b) {
            return path_before(a.what.path, b.what.path);
        });
        join_links();
        result_.entries.reserve(found_.size());
        for (auto& f : found_) result_.entries.push_back(std::move(f.what));
        std::sort(result_.unread.begin(), result_.unread.end());
        return std::move(result_);
    }

private:
    struct close_folder {
        void operator()(DIR* d) const noexcept { ::closedir(d); }
    };

    void cannot(std::string const& path, int number) {
        if (number == ENOENT && !path.empty()) return; // it went away
        result_.unread.push_back(path);
        result_.errors.push_back({path, system_message(number)});
    }

    void read_folder(std::string const& path) {
        auto folder = open_beneath(root_, path, O_RDONLY | O_DIRECTORY);
        if (!folder) return cannot(path, errno);
        std::unique_ptr<DIR, close_folder> names(::fdopendir(folder.get()));
        if (!names) return cannot(path, errno);
        int const at = folder.release(); // closedir closes it
        for (;;) {
            stop_point(stop_);
            errno = 0;
            auto const* name = ::readdir(names.get());
            if (!name && errno != 0) return cannot(path, errno);
            if (!name) return;
            std::string_view const leaf = name->d_name;
            if (leaf == "." || leaf == "..") continue;
            look_at(at, path, std::string(leaf));
        }
    }

    void look_at(int folder, std::string const& parent, std::string const& leaf) {
        found f;
        f.what.path = parent.empty() ? leaf : parent + "/" + leaf;
        struct stat facts {};
        if (::fstatat(folder, leaf.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0)
            return cannot(f.what.path, errno);
        describe(f.what, facts);
        f.device = facts.st_dev;
        f.links = facts.st_nlink;
        if (f.what.type == file_type::folder) {
            if (facts.st_dev == except_.device && facts.st_ino == except_.inode) {
                result_.left_out = true;
                return;
            }
            folders_.push_back(f.what.path);
        }
        if (f.what.type == file_type::symlink && !read_link(folder, leaf, f.what)) return;
        found_.push_back(std::move(f));
    }

    bool read_link(int folder, std::string const& leaf, entry& into) {
        std::string target(256, '\0');
        for (;;) {
            auto const n = ::readlinkat(folder, leaf.c_str(), target.data(), target.size());
            if (n < 0) return cannot(into.path, errno), false;
            if (static_cast<std::size_t>(n) < target.size()) {
                target.resize(static_cast<std::size_t>(n));
                into.link = std::move(target);
                return true;
            }
            target.resize(target.size() * 2);
        }
    }

    // The first path of an inode holds the content, the others are links to it.
    void join_links() {
        std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> leaders;
        for (std::size_t i = 0; i < found_.size(); ++i) {
            auto& f = found_[i];
            if (f.what.type != file_type::regular || f.links < 2) continue;
            auto const [at, first] = leaders.try_emplace({f.device, f.what.inode}, i);
            if (first) continue;
            f.what.hard_link = true;
            f.what.link = found_[at->second].what.path;
        }
    }

    int root_;
    identity except_;
    std::stop_token const& stop_;
    std::vector<std::string> folders_;
    std::vector<found> found_;
    walked result_;
};

} // namespace

walked walk(int folder, identity except, std::stop_token const& stop) {
    return walker(folder, except, stop).run();
}

} // namespace trawl::backup::detail
