#include "ssh/sftp_download.hpp"
#include "ssh/sftp_tree.hpp"
#include "ssh/sftp_upload.hpp"

#include <algorithm>

namespace trawl::sftp {
namespace detail {
namespace {

/// What all files of one copy share: a transfer on either side, and reads that have a budget of
/// their own: they wait for writes, never the other way round, though both may go over one
/// connection.
struct both_sides {
    both_sides(link_ptr source, link_ptr target, transfer_options how)
        : from(std::make_shared<transfer>(std::move(source), transfer_options())),
          to(std::make_shared<transfer>(std::move(target), std::move(how))),
          reads(std::max<std::size_t>(from->link->how().requests, 1)) {}

    transfer_ptr from, to;
    limiter reads;
};

awaitable<> write_piece(both_sides& sides, download::piece const& piece, std::string const& handle,
                        upload& sending) {
    auto const most = sides.to->link->write_size();
    for (std::size_t done = 0; done < piece.data().size(); done += most) {
        auto place = co_await sending.room();
        sending.write(handle, piece.offset + done, piece.data().substr(done, most),
                      std::move(place));
    }
}

awaitable<> copy_file(both_sides& sides, std::string from, std::string to, attributes known) {
    attributes const nothing;
    auto const source = co_await open_file(sides.from->link, from, open_read, nothing);
    known.owner.reset();
    auto write = [&](remote_handle const& file, upload& sending) -> awaitable<> {
        download coming(sides.from, sides.reads, from, source.name(), 0, known.size);
        while (!coming.ended()) {
            auto const pieces = co_await coming.next();
            for (auto const& next : pieces) co_await write_piece(sides, next, file.name(), sending);
        }
    };
    co_await replace_file(sides.to, std::move(to), known, write);
}

class server_tree_copy : public tree_copy {
public:
    explicit server_tree_copy(both_sides& sides) : tree_copy(sides.to), sides_(sides) {}

private:
    awaitable<contents> enter(std::string from, std::string to, attributes known) override {
        contents found;
        found.attrs = known;
        // Listed first: `to` may lie in `from`, on one server.
        found.items = co_await remote_items(sides_.from->link, std::move(from));
        co_await ensure_remote_folder(t_->link, std::move(to), known.permissions.value_or(0777));
        co_return found;
    }
    awaitable<> copy(std::string from, std::string to, attributes known) override {
        return copy_file(sides_, std::move(from), std::move(to), known);
    }
    awaitable<> settle(std::string folder, attributes wanted) override {
        return set_path(t_->link, std::move(folder), wanted);
    }

    both_sides& sides_;
};

awaitable<transferred> copy(link_ptr source, std::string from, link_ptr target, std::string to,
                            transfer_options how) {
    both_sides sides(std::move(source), std::move(target), std::move(how));
    if (sides.to->how.resume) throw sides.to->link->failed(errc::unsupported, "resume", to);
    auto const attrs = co_await source_of(sides.from->link, from, sides.to->how.recursive, "copy");
    if (attrs.is_folder()) {
        server_tree_copy tree(sides);
        co_await tree.run(from, to, attrs);
    } else {
        co_await copy_file(sides, from, to, attrs);
    }
    co_return sides.to->done;
}

} // namespace
} // namespace detail

awaitable<transferred> copy(client& from, std::string path, client& to, std::string remote,
                            transfer_options how) {
    return detail::copy(detail::client_access::link(from), std::move(path),
                        detail::client_access::link(to), std::move(remote), std::move(how));
}

} // namespace trawl::sftp
