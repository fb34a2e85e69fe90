#include "ssh/sftp_tree.hpp"

namespace trawl::sftp::detail {

awaitable<> tree_copy::run(std::string from, std::string to, attributes known) {
    waiting_.push_back({std::move(from), std::move(to), known});
    auto all = [this](task_group& group) -> awaitable<> {
        while (!waiting_.empty()) {
            auto next = std::move(waiting_.back());
            waiting_.pop_back();
            co_await visit(std::move(next), group);
        }
    };
    co_await with_group(all);
    // Last, because each new file changes its folder's times; the innermost first.
    for (; !made_.empty(); made_.pop_back()) {
        auto wanted = made_.back().attrs;
        wanted.size.reset(), wanted.owner.reset();
        if (wanted.permissions) *wanted.permissions &= 0777;
        co_await settle(made_.back().path, wanted);
    }
}

awaitable<> tree_copy::visit(pending_folder at, task_group& group) {
    auto const found = co_await enter(at.from, at.to, at.known);
    if (t_->how.preserve) made_.push_back({at.to, found.attrs});
    for (auto const& next : found.items) {
        auto from = joined(at.from, next.name), to = joined(at.to, next.name);
        if (next.kind == file_kind::other) {
            t_->skip();
        } else if (next.kind == file_kind::folder) {
            if (waiting_.size() + made_.size() >= t_->link->how().max_entries)
                throw t_->link->failed(errc::limit, "copy", at.from, "too many folders");
            waiting_.push_back({std::move(from), std::move(to), next.attrs});
        } else {
            auto place = co_await t_->files.acquire();
            group.spawn(
                copy_in_group(std::move(from), std::move(to), next.attrs, std::move(place)));
        }
    }
}

awaitable<> tree_copy::copy_in_group(std::string from, std::string to, attributes known,
                                     [[maybe_unused]] limiter::ticket place) {
    co_await copy(std::move(from), std::move(to), known);
}

awaitable<attributes> source_of(link_ptr link, std::string path, bool recursive,
                                std::string operation) {
    auto const attrs = co_await stat_path(link, packet::stat, path);
    if (attrs.is_folder() && !recursive) throw link->failed(errc::is_folder, operation, path);
    if (attrs.permissions && !attrs.is_folder() && !attrs.is_regular())
        throw link->failed(errc::not_regular, operation, path);
    co_return attrs;
}

awaitable<std::vector<listed_file>> remote_items(link_ptr link, std::string folder) {
    auto const entries = co_await list_folder(link, folder);
    std::vector<listed_file> found;
    for (auto const& next : entries) {
        listed_file item;
        item.name = next.name;
        item.attrs = next.attrs;
        if (next.attrs.is_symlink() || !next.attrs.permissions)
            item.attrs = co_await target_of(link, joined(folder, next.name));
        if (item.attrs.is_folder() && !next.attrs.is_symlink())
            item.kind = file_kind::folder;
        else if (item.attrs.is_regular())
            item.kind = file_kind::file;
        found.push_back(std::move(item));
    }
    co_return found;
}

} // namespace trawl::sftp::detail
