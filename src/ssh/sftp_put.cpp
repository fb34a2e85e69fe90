#include "ssh/sftp_local.hpp"
#include "ssh/sftp_transfer.hpp"

#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <algorithm>
#include <deque>

namespace trawl::sftp::detail {
namespace {

namespace fs = std::filesystem;

/// A WRITE that is made on the pool: the file is read into its place in the packet.
struct block {
    std::string packet;
    std::size_t at = 0; ///< of the data
    std::uint64_t offset = 0;
    std::size_t size = 0; ///< read
};

block prepare(connection& link, std::string const& handle, std::uint64_t offset, std::size_t size) {
    auto request = link.request(packet::write);
    request.text(handle).u64(offset);
    block made;
    made.at = request.reserve_text(size);
    made.packet = request.take();
    made.offset = offset;
    made.size = size;
    return made;
}

void fill(local_file const& from, block& into) {
    auto const wanted = into.size;
    into.size = from.read_at(into.offset, into.packet.data() + into.at, wanted);
    if (into.size < wanted) shrink_text(into.packet, into.at, into.size);
}

/// Blocks are read several at a time: a job on the pool costs as much as a read.
constexpr std::size_t blocks_a_job = 8;

class upload {
public:
    upload(transfer_ptr of, std::string to) : t_(std::move(of)), to_(std::move(to)) {}

    /// Sends what of `from` lies behind `offset`, into the open file `handle`. Some of the writes
    /// are still unanswered when it returns; finish() sees to them.
    awaitable<> send(local_file const& from, std::string handle, std::uint64_t offset,
                     std::uint64_t expected) {
        auto& link = *t_->link;
        for (bool more = true; more;) {
            // One byte more than there should be, so that the end is seen.
            auto const left = expected > offset ? expected - offset + 1 : link.write_size();
            auto const size = std::min<std::uint64_t>(left, link.write_size());
            auto tickets =
                co_await reserve(std::min<std::uint64_t>(blocks_a_job, (left + size - 1) / size));
            std::vector<block> batch;
            for (std::size_t i = 0; i < tickets.size(); ++i, offset += size)
                batch.push_back(prepare(link, handle, offset, size));
            auto job = [&from, &batch] {
                for (auto& next : batch) fill(from, next);
            };
            co_await link.blocking().run(std::move(job));
            for (std::size_t i = 0; i < batch.size() && more; ++i) {
                more = batch[i].size == size;
                if (batch[i].size > 0) launch(std::move(batch[i]), std::move(tickets[i]));
            }
            while (!flights_.empty() && flights_.front().on_its_way.answered())
                co_await settle_oldest();
        }
    }

    /// Sends the whole of a small file.
    awaitable<> send_whole(std::string bytes, std::string handle) {
        if (bytes.empty()) co_return;
        auto tickets = co_await reserve(1);
        auto whole = prepare(*t_->link, handle, 0, bytes.size());
        std::copy(bytes.begin(), bytes.end(),
                  whole.packet.begin() + static_cast<std::ptrdiff_t>(whole.at));
        launch(std::move(whole), std::move(tickets.front()));
    }

    awaitable<> finish() {
        while (!flights_.empty()) co_await settle_oldest();
    }

private:
    struct piece {
        connection::flight on_its_way;
        std::size_t size = 0;
        limiter::ticket ticket;
    };

    /// At least one place among the requests in flight, `most` if the other transfers leave as
    /// many. Never waits for one while answers to own requests are out, which hold places
    /// themselves.
    awaitable<std::vector<limiter::ticket>> reserve(std::uint64_t most) {
        auto& budget = t_->link->budget();
        std::vector<limiter::ticket> got;
        while (got.size() < most) {
            auto ticket = budget.try_acquire();
            if (!ticket && !flights_.empty()) { // its place, or one that others have given back
                co_await settle_oldest();
                continue;
            }
            if (!ticket && !got.empty()) break;
            if (!ticket) ticket = co_await budget.acquire();
            got.push_back(std::move(ticket));
        }
        co_return got;
    }

    void launch(block whole, limiter::ticket ticket) {
        piece next;
        next.size = whole.size;
        next.ticket = std::move(ticket);
        next.on_its_way = t_->link->start(std::move(whole.packet));
        flights_.push_back(std::move(next));
    }

    awaitable<> settle_oldest() {
        auto oldest = std::move(flights_.front());
        flights_.pop_front();
        auto const answer = co_await oldest.on_its_way.reply();
        t_->link->expect_ok(answer, "write", to_);
        t_->moved(oldest.size);
    }

    transfer_ptr t_;
    std::string to_;
    std::deque<piece> flights_;
};

/// True when the last bytes of the first `size` of both files are the same.
awaitable<bool> same_end(transfer_ptr t, local_file const& local, remote_handle const& remote,
                         std::uint64_t size) {
    auto const length =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(size, t->link->read_size()));
    auto reading = t->link->request(packet::read);
    reading.text(remote.name()).u64(size - length).u32(length);
    auto const answer = co_await t->link->call(reading);
    auto const there = parse_data(answer);
    if (!there) co_return false;
    std::string here(length, '\0');
    auto job = [&] { here.resize(local.read_at(size - length, here.data(), length)); };
    co_await t->link->blocking().run(std::move(job));
    co_return here == *there;
}

/// How much of the file an earlier transfer has left there; 0 when that is no part of it.
awaitable<std::uint64_t> left_over(transfer_ptr t, local_file const& from,
                                   remote_handle const& part, std::uint64_t size) {
    auto asking = t->link->request(packet::fstat);
    asking.text(part.name());
    auto const answer = co_await t->link->call(asking);
    auto const there = parse_attributes(answer);
    auto const length = there ? there->size.value_or(0) : 0;
    if (length == 0) co_return 0;
    if (length <= size && co_await same_end(t, from, part, length)) co_return length;
    attributes empty;
    empty.size = 0;
    auto cutting = t->link->request(packet::fsetstat);
    cutting.text(part.name()).attrs(empty);
    auto const cut = co_await t->link->call(cutting);
    t->link->expect_ok(cut, "truncate", {});
    co_return 0;
}

/// What follows the last write: the requests go out together, the server keeps their order (§7).
awaitable<> conclude(transfer_ptr t, remote_handle& file, attributes wanted, std::string path) {
    auto& link = *t->link;
    std::vector<connection::flight> flights;
    if (t->how.preserve) {
        auto setting = link.request(packet::fsetstat);
        wanted.size.reset();
        wanted.permissions = *wanted.permissions & 07777;
        setting.text(file.name()).attrs(wanted);
        flights.push_back(link.start(setting));
    }
    if (t->how.sync && link.supports("fsync@openssh.com")) {
        auto syncing = link.extension("fsync@openssh.com");
        syncing.text(file.name());
        flights.push_back(link.start(syncing));
    }
    flights.push_back(file.start_close());
    for (auto& next : flights) {
        auto const answer = co_await next.reply();
        link.expect_ok(answer, "finish", path);
    }
}

awaitable<> put_in_place(link_ptr link, std::string from, std::string to) {
    if (!link->supports("posix-rename@openssh.com")) {
        // The protocol's own rename does not replace (§6.5).
        try {
            auto request = link->request(packet::remove);
            request.text(to);
            co_await simple(link, std::move(request), "remove", to);
        } catch (failure const& missing) {
            if (missing.code() != errc::no_such_file) throw;
        }
    }
    co_await rename_path(link, from, to);
}

struct opened_source {
    local_file file;
    attributes attrs;
    std::optional<std::string> whole{}; ///< of a small one
};

awaitable<opened_source> open_source(transfer_ptr t, fs::path local) {
    auto const small = t->how.resume ? 0 : t->link->write_size();
    auto job = [&local, small] {
        opened_source found;
        found.file = local_file::source(local);
        found.attrs = attributes_of(found.file.status());
        if (*found.attrs.size < small) {
            std::string bytes(small, '\0');
            bytes.resize(found.file.read_at(0, bytes.data(), small));
            if (bytes.size() < small) found.whole = std::move(bytes); // it has not grown
        }
        return found;
    };
    co_return co_await t->link->blocking().run(std::move(job));
}

awaitable<> write_temporary(transfer_ptr t, opened_source& from, std::string temporary,
                            std::string remote) {
    auto& link = *t->link;
    attributes initial;
    initial.permissions = *from.attrs.permissions & 0777;
    std::uint32_t flags = open_write | open_create | open_exclusive;
    if (t->how.resume) flags = open_read | open_write | open_create, *initial.permissions |= 0600;
    auto file = co_await open_file(t->link, temporary, flags, initial);
    std::uint64_t offset = 0;
    if (t->how.resume) offset = co_await left_over(t, from.file, file, *from.attrs.size);
    upload sending(t, remote);
    if (from.whole)
        co_await sending.send_whole(std::move(*from.whole), file.name());
    else
        co_await sending.send(from.file, file.name(), offset, *from.attrs.size);
    if (t->how.resume && !t->how.preserve) {
        attributes permissions;
        permissions.permissions = *from.attrs.permissions & 0777;
        auto setting = link.request(packet::fsetstat);
        setting.text(file.name()).attrs(permissions);
        link.start_and_forget(setting);
    }
    co_await conclude(t, file, from.attrs, remote);
    co_await sending.finish();
}

awaitable<> put_file_in_group(transfer_ptr t, fs::path local, std::string remote,
                              [[maybe_unused]] limiter::ticket place) {
    co_await put_file(t, std::move(local), std::move(remote));
}

class tree_put {
public:
    explicit tree_put(transfer_ptr t) : t_(std::move(t)) {}

    awaitable<> run(fs::path local, std::string remote) {
        waiting_.push_back({std::move(local), std::move(remote)});
        auto all = [this](task_group& group) -> awaitable<> {
            while (!waiting_.empty()) {
                auto next = std::move(waiting_.back());
                waiting_.pop_back();
                co_await enter(std::move(next), group);
            }
        };
        co_await with_group(all);
        // Last, because each new file changes its folder's times; the innermost first.
        for (; t_->how.preserve && !made_.empty(); made_.pop_back())
            co_await set_path(t_->link, made_.back().path, made_.back().attrs);
    }

private:
    struct folder {
        fs::path local;
        std::string remote;
    };
    struct made_folder {
        std::string path;
        attributes attrs;
    };
    struct listing {
        std::vector<local_entry> entries;
        attributes attrs;
    };

    awaitable<> enter(folder at, task_group& group) {
        auto job = [at] {
            listing found;
            found.entries = list_local(at.local);
            found.attrs = attributes_of(status_of(at.local));
            return found;
        };
        auto found = co_await t_->link->blocking().run(std::move(job));
        co_await ensure_remote_folder(t_->link, at.remote, *found.attrs.permissions);
        if (t_->how.preserve) {
            found.attrs.size.reset();
            found.attrs.permissions = *found.attrs.permissions & 0777;
            made_.push_back({at.remote, found.attrs});
        }
        for (auto const& next : found.entries) {
            auto target = joined(at.remote, next.name);
            if (next.kind == local_kind::other) {
                t_->skip();
            } else if (next.kind == local_kind::folder) {
                waiting_.push_back({at.local / next.name, std::move(target)});
            } else {
                auto place = co_await t_->files.acquire();
                group.spawn(put_file_in_group(t_, at.local / next.name, std::move(target),
                                              std::move(place)));
            }
        }
    }

    transfer_ptr t_;
    std::vector<folder> waiting_;
    std::vector<made_folder> made_;
};

} // namespace

awaitable<> put_file(transfer_ptr t, fs::path local, std::string remote) {
    auto from = co_await open_source(t, local);
    auto const temporary = temporary_name(remote, t->how.resume);
    std::exception_ptr failed;
    try {
        co_await write_temporary(t, from, temporary, remote);
        co_await put_in_place(t->link, temporary, remote);
    } catch (...) {
        failed = std::current_exception();
    }
    if (!failed) {
        t->finished();
        co_return;
    }
    if (!t->how.resume) {
        // Behind the requests that may still make it; with the connection gone there is no way.
        t->link->start_and_forget(t->link->request(packet::remove).text(temporary));
        t->link->flush();
    }
    std::rethrow_exception(failed);
}

awaitable<transferred> put(link_ptr link, fs::path local, std::string remote,
                           transfer_options how) {
    auto const t = std::make_shared<transfer>(std::move(link), std::move(how));
    auto look = [local] { return S_ISDIR(status_of(local).st_mode); };
    bool const folder = co_await t->link->blocking().run(std::move(look));
    if (folder && !t->how.recursive) throw error(errc::is_folder, "put " + local.string());
    if (folder) {
        tree_put tree(t);
        co_await tree.run(local, remote);
    } else {
        co_await put_file(t, local, remote);
    }
    co_return t->done;
}

} // namespace trawl::sftp::detail
