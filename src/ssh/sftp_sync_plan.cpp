#include "ssh/sftp_sync_plan.hpp"

#include <algorithm>
#include <set>

namespace trawl::sftp::detail {
namespace {

using kind = sync_step::kind;

bool same_mode(attributes const& a, attributes const& b) {
    // Set-id bits are not handed on, and no server has to tell them.
    return (a.permissions.value_or(0) & 0777) == (b.permissions.value_or(0) & 0777);
}

bool same_time(attributes const& a, attributes const& b) {
    return a.times && b.times && a.times->modification == b.times->modification;
}

class planner {
public:
    planner(tree const& source, tree const& target, bool remove)
        : source_(source), target_(target), remove_(remove) {}

    sync_plan run() {
        for (auto const& [path, there] : target_) judge(path, there);
        if (!plan_.in_the_way.empty()) return std::move(plan_);
        for (auto at = target_.rbegin(); at != target_.rend(); ++at)
            if (gone_.count(at->first))
                add(at->second.is_folder() ? kind::remove_folder : kind::remove, at->first);
        // Files before folders, whatever their order by name: a link in the way is gone first.
        std::stable_partition(plan_.steps.begin(), plan_.steps.end(),
                              [](auto const& step) { return step.what == kind::remove; });
        for (auto const& [path, here] : source_)
            if (here.is_folder() && !kept(path)) add(kind::make_folder, path);
        for (auto const& [path, here] : source_)
            if (!here.is_folder()) bring(path, here);
        for (auto at = source_.rbegin(); at != source_.rend(); ++at)
            if (at->second.is_folder()) settle(at->first, at->second);
        return std::move(plan_);
    }

private:
    /// Whether something in the target has to go.
    void judge(std::string const& path, attributes const& there) {
        if (!path.empty() && gone_.count(parent_of(path))) {
            gone_.insert(path);
            return;
        }
        auto const here = source_.find(path);
        if (here == source_.end()) {
            auto const folder = source_.find(parent_of(path));
            // What lies below something that is not copied is left alone.
            if (remove_ && folder != source_.end() && folder->second.is_folder())
                gone_.insert(path);
            return;
        }
        bool const ours = here->second.is_folder() || here->second.is_regular();
        // A file takes the place of whatever is no folder, without a moment between.
        if (!ours || here->second.is_folder() == there.is_folder()) return;
        if (here->second.is_regular() && !there.is_folder()) return;
        if (remove_ && !path.empty())
            gone_.insert(path);
        else
            plan_.in_the_way.push_back(path);
    }

    /// What the target has at `path` and keeps.
    attributes const* kept(std::string const& path) const {
        auto const there = target_.find(path);
        return there == target_.end() || gone_.count(path) ? nullptr : &there->second;
    }

    void bring(std::string const& path, attributes const& here) {
        if (!here.is_regular()) {
            ++plan_.skipped;
            return;
        }
        auto const* there = kept(path);
        bool const same =
            there && there->is_regular() && there->size == here.size && same_time(*there, here);
        if (!same)
            add(kind::copy, path, here.size.value_or(0));
        else if (!same_mode(*there, here))
            plan_.steps.push_back({kind::set, path, 0});
        else
            ++plan_.unchanged;
    }

    void settle(std::string const& path, attributes const& here) {
        auto const* there = kept(path);
        if (!there || touched_.count(path) || !same_mode(*there, here) || !same_time(*there, here))
            plan_.steps.push_back({kind::set, path, 0});
    }

    void add(kind what, std::string const& path, std::uint64_t size = 0) {
        plan_.steps.push_back({what, path, size});
        if (!path.empty()) touched_.insert(parent_of(path));
    }

    tree const& source_;
    tree const& target_;
    bool remove_;
    std::set<std::string> gone_;    // of the target
    std::set<std::string> touched_; // folders whose time changes
    sync_plan plan_;
};

} // namespace

std::string parent_of(std::string const& path) {
    auto const at = path.rfind('/');
    return at == std::string::npos ? std::string() : path.substr(0, at);
}

sync_plan plan_sync(tree const& source, tree const& target, bool remove) {
    return planner(source, target, remove).run();
}

} // namespace trawl::sftp::detail
