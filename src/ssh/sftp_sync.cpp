#include "ssh/sftp_local.hpp"
#include "ssh/sftp_sync_plan.hpp"
#include "ssh/sftp_transfer.hpp"

#include <trawl/task_group.hpp>

#include <algorithm>

namespace trawl::sftp {
namespace detail {
namespace {

namespace fs = std::filesystem;
using kind = sync_step::kind;

constexpr std::size_t folders_at_once = 16;

/// What is in a folder on the server, many of its folders looked into at a time.
class remote_walk {
public:
    remote_walk(link_ptr link, std::string root, bool follow_files)
        : link_(std::move(link)), root_(std::move(root)), follow_files_(follow_files) {}

    awaitable<tree> run() {
        auto all = [this](task_group& group) -> awaitable<> {
            group_ = &group;
            std::string const itself;
            co_await enter(itself);
        };
        co_await with_group(all);
        co_return std::move(found_);
    }

private:
    awaitable<> enter(std::string folder) {
        auto const place = co_await places_.acquire();
        auto const path = below(root_, folder);
        auto const entries = co_await list_folder(link_, path);
        for (auto const& next : entries) {
            auto const name = folder.empty() ? next.name : folder + '/' + next.name;
            auto attrs = next.attrs;
            // In a target a link that looks like its folder would lead what is removed elsewhere.
            if (!attrs.permissions || (attrs.is_folder() && !follow_files_))
                attrs = co_await stat_path(link_, packet::lstat, joined(path, next.name));
            if (attrs.is_symlink() && follow_files_) {
                auto const there = co_await target_of(link_, joined(path, next.name));
                if (there.is_regular()) attrs = there;
            }
            if (found_.size() >= link_->how().max_entries)
                throw link_->failed(errc::limit, "sync", root_, "too many files");
            if (!found_.emplace(name, attrs).second)
                throw link_->failed(errc::protocol, "list", path, "the same name twice");
            if (attrs.is_folder()) group_->spawn(enter(name));
        }
    }

    link_ptr link_;
    std::string root_;
    bool follow_files_;
    limiter places_{folders_at_once};
    task_group* group_ = nullptr;
    tree found_;
};

awaitable<tree> remote_tree(link_ptr link, std::string root, bool follow_files) {
    auto const attrs = co_await stat_path(link, packet::stat, root);
    tree found;
    if (attrs.is_folder() || !attrs.permissions) {
        remote_walk walk(link, root, follow_files);
        found = co_await walk.run();
    }
    found.emplace(std::string(), attrs);
    co_return found;
}

/// The target, of which nothing need be there.
awaitable<tree> remote_target(link_ptr link, std::string root) {
    tree found;
    try {
        found = co_await remote_tree(std::move(link), std::move(root), false);
    } catch (failure const& missing) {
        if (missing.code() != errc::no_such_file) throw;
    }
    co_return found;
}

awaitable<tree> local_source(transfer_ptr t, fs::path root) {
    auto const most = t->link->how().max_entries;
    auto look = [root, most] { return local_tree(root, true, most); };
    auto found = co_await t->link->blocking().run(std::move(look));
    if (!found.at({}).is_folder())
        throw error(std::make_error_code(std::errc::not_a_directory), "sync " + root.string());
    co_return found;
}

awaitable<tree> local_target(transfer_ptr t, fs::path root) {
    auto const most = t->link->how().max_entries;
    auto look = [root, most] {
        return fs::exists(fs::status(root)) ? local_tree(root, false, most) : tree();
    };
    co_return co_await t->link->blocking().run(std::move(look));
}

/// Where steps are carried out.
class place {
public:
    explicit place(transfer_ptr t) : t_(std::move(t)) {}
    virtual ~place() = default;
    virtual awaitable<> remove(std::string path) = 0;
    virtual awaitable<> remove_folder(std::string path) = 0;
    virtual awaitable<> make_folder(std::string path, attributes like) = 0;
    virtual awaitable<> copy(std::string path, attributes like) = 0;
    virtual awaitable<> set(std::string path, attributes like) = 0;

protected:
    transfer_ptr t_;
};

/// Without what a copy does not hand on.
attributes plain(attributes of) {
    of.size.reset(), of.owner.reset();
    if (of.permissions) *of.permissions &= 0777;
    return of;
}

class remote_place : public place {
public:
    remote_place(transfer_ptr t, fs::path from, std::string to)
        : place(std::move(t)), from_(std::move(from)), to_(std::move(to)) {}

    awaitable<> remove(std::string path) override {
        return ask(packet::remove, "remove", std::move(path));
    }
    awaitable<> remove_folder(std::string path) override {
        return ask(packet::rmdir, "rmdir", std::move(path));
    }
    awaitable<> make_folder(std::string path, attributes like) override {
        return ensure_remote_folder(t_->link, below(to_, path), like.permissions.value_or(0777));
    }
    awaitable<> copy(std::string path, attributes) override {
        return put_file(t_, from_ / path, below(to_, path));
    }
    awaitable<> set(std::string path, attributes like) override {
        return set_path(t_->link, below(to_, path), plain(like));
    }

private:
    awaitable<> ask(packet type, std::string operation, std::string path) {
        auto full = below(to_, path);
        auto request = t_->link->request(type);
        request.text(full);
        return simple(t_->link, std::move(request), std::move(operation), std::move(full));
    }

    fs::path from_;
    std::string to_;
};

class local_place : public place {
public:
    local_place(transfer_ptr t, std::string from, fs::path to)
        : place(std::move(t)), from_(std::move(from)), to_(std::move(to)) {}

    awaitable<> remove(std::string path) override {
        return run([root = to_, path] { remove_below(root, path, false); });
    }
    awaitable<> remove_folder(std::string path) override {
        return run([root = to_, path] { remove_below(root, path, true); });
    }
    awaitable<> make_folder(std::string path, attributes like) override {
        auto const mode = like.permissions.value_or(0777);
        return run([at = below_local(path), mode] { ensure_folder(at, mode); });
    }
    awaitable<> copy(std::string path, attributes like) override {
        return get_file(t_, below(from_, path), below_local(path), like);
    }
    awaitable<> set(std::string path, attributes like) override {
        return run([at = below_local(path), like] { set_local(at, like); });
    }

private:
    fs::path below_local(std::string const& path) const { return path.empty() ? to_ : to_ / path; }
    awaitable<> run(std::function<void()> job) { return on_pool(t_, std::move(job)); }
    static awaitable<> on_pool(transfer_ptr t, std::function<void()> job) {
        co_await t->link->blocking().run(std::move(job));
    }

    std::string from_;
    fs::path to_;
};

/// Carries out a plan: steps of a kind together where their order does not matter.
class performer {
public:
    performer(transfer_ptr t, sync_options const& how, tree const& source, place& at)
        : t_(std::move(t)), how_(how), source_(source), at_(at) {}

    awaitable<synced> run(sync_plan plan) {
        sum_.unchanged = plan.unchanged, sum_.skipped = plan.skipped;
        for (auto const& next : plan.steps) count(next);
        auto const& steps = plan.steps;
        if (how_.dry_run) {
            for (auto const& next : steps) tell(next);
            co_return sum_;
        }
        for (auto begin = steps.begin(); begin != steps.end();) {
            auto const end = std::find_if(begin, steps.end(),
                                          [&](auto const& s) { return phase(s) != phase(*begin); });
            std::vector<sync_step> const same(begin, end);
            auto all = [this, &same](task_group& group) -> awaitable<> {
                for (auto const& next : same) co_await start(group, next);
            };
            co_await with_group(all);
            begin = end;
        }
        sum_.bytes = t_->done.bytes;
        co_return sum_;
    }

private:
    bool of_folder(sync_step const& step) const {
        if (step.what == kind::remove_folder || step.what == kind::make_folder) return true;
        if (step.what == kind::remove) return false;
        return source_.at(step.path).is_folder();
    }
    /// Copies and settings of files are one phase.
    int phase(sync_step const& step) const {
        if (step.what == kind::copy) return static_cast<int>(kind::set);
        return static_cast<int>(step.what) + (step.what == kind::set && of_folder(step));
    }

    void tell(sync_step const& step) const {
        if (how_.step) how_.step(step);
    }

    void count(sync_step const& step) {
        if (step.what == kind::remove || step.what == kind::remove_folder) ++sum_.removed;
        if (step.what == kind::copy) ++sum_.files, sum_.bytes += step.size;
        if (step.what == kind::set && !of_folder(step)) ++sum_.set;
    }

    /// Those of folders one after the other: some lie in others.
    awaitable<> start(task_group& group, sync_step const& step) {
        if (of_folder(step)) {
            tell(step);
            co_await perform(step);
        } else {
            auto place = co_await t_->files.acquire();
            tell(step);
            group.spawn(perform_in_group(step, std::move(place)));
        }
    }

    awaitable<> perform_in_group(sync_step step, [[maybe_unused]] limiter::ticket place) {
        co_await perform(std::move(step));
    }

    awaitable<> perform(sync_step step) {
        switch (step.what) {
        case kind::remove: return at_.remove(step.path);
        case kind::remove_folder: return at_.remove_folder(step.path);
        case kind::make_folder: return at_.make_folder(step.path, source_.at(step.path));
        case kind::copy: return at_.copy(step.path, source_.at(step.path));
        case kind::set: break;
        }
        return at_.set(step.path, source_.at(step.path));
    }

    transfer_ptr t_;
    sync_options const& how_;
    tree const& source_;
    place& at_;
    synced sum_;
};

transfer_ptr transfer_for(link_ptr link, sync_options const& how) {
    transfer_options options;
    options.preserve = true, options.sync = how.fsync;
    options.files_at_once = how.files_at_once;
    if (how.progress)
        options.progress = [&how](transferred const& done) {
            synced so_far;
            static_cast<transferred&>(so_far) = done;
            how.progress(so_far);
        };
    return std::make_shared<transfer>(std::move(link), std::move(options));
}

sync_plan planned(tree const& source, tree const& target, bool remove, std::string const& root) {
    auto plan = plan_sync(source, target, remove);
    if (!plan.in_the_way.empty())
        throw error(errc::in_the_way, "sync " + below(root, plan.in_the_way.front()));
    return plan;
}

awaitable<synced> push(link_ptr link, fs::path from, std::string to, sync_options how) {
    auto const t = transfer_for(std::move(link), how);
    auto const source = co_await local_source(t, from);
    auto const target = co_await remote_target(t->link, to);
    auto plan = planned(source, target, how.remove, to);
    remote_place at(t, from, to);
    performer all(t, how, source, at);
    co_return co_await all.run(std::move(plan));
}

awaitable<synced> pull(link_ptr link, std::string from, fs::path to, sync_options how) {
    auto const t = transfer_for(std::move(link), how);
    auto const source = co_await remote_tree(t->link, from, true);
    if (!source.at({}).is_folder())
        throw t->link->failed(std::make_error_code(std::errc::not_a_directory), "sync", from);
    auto const target = co_await local_target(t, to);
    auto plan = planned(source, target, how.remove, to.string());
    local_place at(t, from, to);
    performer all(t, how, source, at);
    co_return co_await all.run(std::move(plan));
}

} // namespace
} // namespace detail

std::string_view name(sync_step::kind of) noexcept {
    switch (of) {
    case sync_step::kind::remove: return "remove";
    case sync_step::kind::remove_folder: return "remove_folder";
    case sync_step::kind::make_folder: return "make_folder";
    case sync_step::kind::copy: return "copy";
    case sync_step::kind::set: break;
    }
    return "set";
}

awaitable<synced> sync(std::filesystem::path from, client& to, std::string remote,
                       sync_options how) {
    return detail::push(detail::client_access::link(to), std::move(from), std::move(remote),
                        std::move(how));
}

awaitable<synced> sync(client& from, std::string remote, std::filesystem::path to,
                       sync_options how) {
    return detail::pull(detail::client_access::link(from), std::move(remote), std::move(to),
                        std::move(how));
}

} // namespace trawl::sftp
