#include "ssh/sftp_download.hpp"
#include "ssh/sftp_local.hpp"
#include "ssh/sftp_tree.hpp"

#include <trawl/task_group.hpp>

#include <algorithm>
#include <unistd.h>

namespace trawl::sftp::detail {
namespace {

namespace fs = std::filesystem;

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

/// The channel of that number beside the first; null when no more are to be had.
awaitable<link_ptr> further_channel(transfer_ptr t, std::size_t number) {
    auto const guard = co_await t->opening_more.lock();
    if (number < t->more.size()) co_return t->more[number];
    auto opened = co_await t->link->another();
    if (opened) t->more.push_back(opened);
    co_return opened;
}

constexpr std::uint64_t large = std::uint64_t(8) << 20;

bool wants_channels(transfer const& t, std::uint64_t bytes) {
    auto const& how = t.link->how();
    return bytes >= large && how.channels > 1 && t.round_trip >= how.distant;
}

/// Gives the download more channels while it is under way. With fewer it takes longer, that is all.
awaitable<> widen(transfer_ptr t, download& coming, std::string from, attributes known) {
    try {
        for (std::size_t number = 0; number + 1 < t->link->how().channels; ++number) {
            auto const link = co_await further_channel(t, number);
            if (!link) co_return;
            attributes const nothing;
            auto file = co_await open_file(link, from, open_read, nothing);
            auto const facts = co_await stat_handle(link, file.name(), from);
            if (facts.size != known.size || facts.times != known.times) co_return; // replaced
            coming.add_lane(link, std::move(file));
        }
    } catch (error const&) {
        // What matters to the download, it is told itself.
    }
}

/// The local tree is made of names that list_folder() has checked: none leads outside. Links that are
/// there already are followed, as cp(1) does.
class tree_get : public tree_copy {
public:
    using tree_copy::tree_copy;

private:
    awaitable<contents> enter(std::string from, std::string to, attributes known) override {
        auto make = [&to, &known] { ensure_folder(to, known.permissions.value_or(0777)); };
        co_await t_->link->blocking().run(std::move(make));
        contents found;
        found.attrs = known;
        found.items = co_await remote_items(t_->link, std::move(from));
        co_return found;
    }
    awaitable<> copy(std::string from, std::string to, attributes known) override {
        return get_file(t_, std::move(from), std::move(to), known);
    }
    awaitable<> settle(std::string folder, attributes wanted) override {
        auto job = [&folder, &wanted] { set_local(folder, wanted); };
        co_await t_->link->blocking().run(std::move(job));
    }
};

} // namespace

awaitable<> get_file(transfer_ptr t, std::string remote, fs::path local, attributes known) {
    auto& pool = t->link->blocking();
    attributes const nothing;
    auto file = co_await open_file(t->link, remote, open_read, nothing);
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
        offset = co_await left_over(t, to, file, known.size);
    }
    download coming(t, t->link->budget(), remote, file.name(), offset, known.size);
    auto receive = [&]() -> awaitable<> {
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
    };
    auto both = [&](task_group& group) -> awaitable<> {
        group.spawn_background(widen(t, coming, remote, known));
        co_await receive();
    };
    auto const size = known.size.value_or(0);
    if (wants_channels(*t, size - std::min(size, offset)))
        co_await with_group(both);
    else
        co_await receive();
    part.keep();
    t->finished();
}

awaitable<transferred> get(link_ptr link, std::string remote, fs::path local,
                           transfer_options how) {
    auto const t = std::make_shared<transfer>(std::move(link), std::move(how));
    auto const began = clock::now();
    auto const attrs = co_await source_of(t->link, remote, t->how.recursive, "get");
    t->round_trip = clock::now() - began;
    if (attrs.is_folder()) {
        tree_get tree(t);
        co_await tree.run(remote, local.native(), attrs);
    } else {
        co_await get_file(t, remote, local, attrs);
    }
    co_return t->done;
}

} // namespace trawl::sftp::detail
