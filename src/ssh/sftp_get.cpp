#include "ssh/sftp_local.hpp"
#include "ssh/sftp_transfer.hpp"

#include <trawl/task_group.hpp>

#include <algorithm>
#include <deque>
#include <unistd.h>

namespace trawl::sftp::detail {
namespace {

namespace fs = std::filesystem;

/// Reads a remote file from `offset` to its end, many requests in flight, and hands over what has
/// come. The end is that of `size`; without one, where the server says so.
class download {
public:
    struct piece {
        detail::reply answer;
        std::uint64_t offset = 0;
        limiter::ticket ticket;
        /// Looked up each time: a short string moves with its object.
        std::string_view data() const { return *parse_data(answer); }
    };

    download(transfer_ptr of, std::string from, std::string handle, std::uint64_t offset,
             std::optional<std::uint64_t> size)
        : t_(std::move(of)), from_(std::move(from)), handle_(std::move(handle)), next_(offset),
          size_(size) {}

    /// What came next, one piece or more; empty at the end.
    awaitable<std::vector<piece>> next() {
        std::vector<piece> come;
        while (come.empty()) {
            co_await ask();
            if (flights_.empty()) break;
            co_await take_oldest(come);
        }
        // A few at a time while there are many more on their way: a job on the pool costs as much
        // as a write.
        while (!flights_.empty() &&
               (flights_.front().on_its_way.answered() || come.size() < flights_.size() / 4))
            co_await take_oldest(come);
        // The next questions go out before this is written.
        if (!come.empty()) ask_at_once();
        co_return come;
    }

    /// All that was to come has been handed over.
    bool ended() const noexcept { return flights_.empty() && !more_to_ask(); }

private:
    struct question {
        connection::flight on_its_way;
        std::uint64_t offset = 0;
        std::uint32_t size = 0;
        limiter::ticket ticket;
    };

    bool more_to_ask() const noexcept { return !ended_ && (!size_ || next_ < *size_); }

    /// Without a size one question at a time would do; a few make the end of a long one come
    /// sooner.
    bool may_ask() const noexcept { return more_to_ask() && (size_ || flights_.size() < 4); }

    void ask_at_once() {
        while (may_ask())
            if (auto ticket = t_->link->budget().try_acquire(); ticket)
                ask_next(std::move(ticket));
            else
                return;
    }

    awaitable<> ask() {
        ask_at_once();
        if (!flights_.empty() || !more_to_ask()) co_return;
        auto ticket = co_await t_->link->budget().acquire();
        ask_next(std::move(ticket));
    }

    void ask_next(limiter::ticket ticket) {
        auto const block = t_->link->read_size();
        auto const left = size_ ? std::min<std::uint64_t>(*size_ - next_, block) : block;
        flights_.push_back(start(next_, static_cast<std::uint32_t>(left), std::move(ticket)));
        next_ += left;
    }

    question start(std::uint64_t offset, std::uint32_t size, limiter::ticket ticket) {
        auto reading = t_->link->request(packet::read);
        reading.text(handle_).u64(offset).u32(size);
        question asked;
        asked.on_its_way = t_->link->start(reading);
        asked.offset = offset;
        asked.size = size;
        asked.ticket = std::move(ticket);
        return asked;
    }

    awaitable<> take_oldest(std::vector<piece>& come) {
        auto oldest = std::move(flights_.front());
        flights_.pop_front();
        piece got;
        got.answer = co_await oldest.on_its_way.reply();
        auto const status = parse_status(got.answer);
        if (status && status->code == static_cast<std::uint32_t>(errc::end_of_file)) {
            if (size_) throw t_->link->failed(errc::changed, "read", from_);
            ended_ = true;
            co_return;
        }
        auto const data = t_->link->expect(parse_data(got.answer), got.answer, "read", from_);
        if (data.size() > oldest.size || data.empty())
            throw t_->link->failed(errc::protocol, "read", from_, "another amount than asked for");
        got.offset = oldest.offset;
        auto const size = static_cast<std::uint32_t>(data.size());
        t_->moved(size);
        if (size == oldest.size) {
            got.ticket = std::move(oldest.ticket);
        } else {
            // Less than asked for is no end (§6.4): the rest is asked for again, on the same
            // ticket.
            flights_.push_front(
                start(oldest.offset + size, oldest.size - size, std::move(oldest.ticket)));
        }
        come.push_back(std::move(got));
    }

    transfer_ptr t_;
    std::string from_, handle_;
    std::uint64_t next_;
    std::optional<std::uint64_t> size_;
    bool ended_ = false;
    std::deque<question> flights_;
};

/// A local file under its temporary name. Removed with its object unless it is kept; that is one
/// unlink on the loop, and only after a failure.
class temporary {
public:
    temporary(fs::path path, bool keep) : path_(std::move(path)), keep_(keep) {}
    temporary(temporary const&) = delete;
    temporary& operator=(temporary const&) = delete;
    ~temporary() {
        if (!keep_) ::unlink(path_.c_str());
    }
    void keep() noexcept { keep_ = true; }
    fs::path const& path() const noexcept { return path_; }

private:
    fs::path path_;
    bool keep_;
};

/// Makes the temporary file a whole one under its name. Blocks.
void conclude(transfer const& t, local_file const& file, fs::path const& from, fs::path const& to,
              attributes const& attrs) {
    attributes wanted;
    if (t.how.preserve) wanted.times = attrs.times;
    if (t.how.preserve || t.how.resume) wanted.permissions = attrs.permissions;
    file.set(wanted);
    if (t.how.sync) file.sync();
    rename_file(from, to, t.how.sync);
}

void write_pieces(local_file const& to, std::vector<download::piece> const& pieces) {
    for (auto const& next : pieces) to.write_at(next.offset, next.data());
}

/// How much of the file an earlier transfer has left here; 0 when that is no part of it.
awaitable<std::uint64_t> left_over(transfer_ptr t, local_file const& here,
                                   remote_handle const& file, std::optional<std::uint64_t> size) {
    auto& pool = t->link->blocking();
    auto measure = [&here] { return static_cast<std::uint64_t>(here.status().st_size); };
    auto const length = co_await pool.run(std::move(measure));
    if (length == 0) co_return 0;
    bool same = false;
    auto const end =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(length, t->link->read_size()));
    std::string mine(end, '\0');
    auto look = [&] { here.read_at(length - end, mine.data(), end); };
    co_await pool.run(std::move(look));
    if (size && length <= *size) {
        auto reading = t->link->request(packet::read);
        reading.text(file.name()).u64(length - end).u32(end);
        auto const answer = co_await t->link->call(reading);
        auto const there = parse_data(answer);
        same = there && *there == mine;
    }
    if (same) co_return length;
    auto cut = [&here] { here.truncate(0); };
    co_await pool.run(std::move(cut));
    co_return 0;
}

awaitable<> get_file_in_group(transfer_ptr t, std::string remote, fs::path local, attributes known,
                              [[maybe_unused]] limiter::ticket place) {
    co_await get_file(t, std::move(remote), std::move(local), known);
}

/// A folder on the server with all that is in it. The local tree is made of the names that
/// list_folder() has checked, so it cannot reach outside.
class tree_get {
public:
    explicit tree_get(transfer_ptr t) : t_(std::move(t)) {}

    awaitable<> run(std::string remote, fs::path local, attributes attrs) {
        waiting_.push_back({std::move(remote), std::move(local), attrs});
        auto all = [this](task_group& group) -> awaitable<> {
            while (!waiting_.empty()) {
                auto next = std::move(waiting_.back());
                waiting_.pop_back();
                co_await enter(std::move(next), group);
            }
        };
        co_await with_group(all);
        if (!t_->how.preserve) co_return;
        // Last, because each new file changes its folder's times; the innermost first.
        auto set = [this] {
            for (; !made_.empty(); made_.pop_back())
                set_local(made_.back().path, made_.back().attrs);
        };
        co_await t_->link->blocking().run(std::move(set));
    }

private:
    struct folder {
        std::string remote;
        fs::path local;
        attributes attrs;
    };
    struct made_folder {
        fs::path path;
        attributes attrs;
    };

    awaitable<> enter(folder at, task_group& group) {
        auto make = [&at] { ensure_folder(at.local, at.attrs.permissions.value_or(0777)); };
        co_await t_->link->blocking().run(std::move(make));
        if (t_->how.preserve) made_.push_back({at.local, at.attrs});
        auto const entries = co_await list_folder(t_->link, at.remote);
        for (auto const& next : entries) {
            auto const path = joined(at.remote, next.name);
            auto attrs = next.attrs;
            // A link's file is copied. A link to a folder might lead back up.
            if (attrs.is_symlink() || !attrs.permissions)
                attrs = co_await target_of(t_->link, path);
            if (attrs.is_folder() && !next.attrs.is_symlink()) {
                waiting_.push_back({path, at.local / next.name, attrs});
            } else if (attrs.is_regular()) {
                auto place = co_await t_->files.acquire();
                group.spawn(
                    get_file_in_group(t_, path, at.local / next.name, attrs, std::move(place)));
            } else {
                t_->skip();
            }
        }
    }

    transfer_ptr t_;
    std::vector<folder> waiting_;
    std::vector<made_folder> made_;
};

} // namespace

awaitable<> get_file(transfer_ptr t, std::string remote, fs::path local, attributes known) {
    auto& pool = t->link->blocking();
    attributes const nothing;
    auto file = co_await open_file(t->link, remote, open_read, nothing);
    // Files of /proc and their like have no size that could be relied on.
    auto size = known.size;
    if (size && *size == 0) size.reset();
    temporary part(local.parent_path() / temporary_name(local.filename().native(), t->how.resume),
                   t->how.resume);
    local_file to;
    auto const mode = known.permissions.value_or(0666);
    bool const resume = t->how.resume;
    auto create = [&to, &part, mode, resume] {
        to = local_file::target(part.path(), mode, resume);
    };
    std::uint64_t offset = 0;
    bool created = false;
    if (resume) {
        co_await pool.run(create);
        created = true;
        offset = co_await left_over(t, to, file, size);
    }
    download coming(t, remote, file.name(), offset, size);
    for (bool last = false; !last;) {
        auto const pieces = co_await coming.next();
        last = coming.ended();
        // A small file has come as a whole; all that is to be done with it is one job.
        auto write = [&] {
            if (!std::exchange(created, true)) create();
            write_pieces(to, pieces);
            if (last) conclude(*t, to, part.path(), local, known);
        };
        co_await pool.run(std::move(write));
    }
    part.keep();
    t->finished();
}

awaitable<transferred> get(link_ptr link, std::string remote, fs::path local,
                           transfer_options how) {
    auto const t = std::make_shared<transfer>(std::move(link), std::move(how));
    auto const attrs = co_await stat_path(t->link, packet::stat, remote);
    if (attrs.is_folder() && !t->how.recursive)
        throw t->link->failed(errc::is_folder, "get", remote);
    if (attrs.is_folder()) {
        tree_get tree(t);
        co_await tree.run(remote, local, attrs);
    } else {
        if (attrs.permissions && !attrs.is_regular())
            throw t->link->failed(errc::not_regular, "get", remote);
        co_await get_file(t, remote, local, attrs);
    }
    co_return t->done;
}

} // namespace trawl::sftp::detail
