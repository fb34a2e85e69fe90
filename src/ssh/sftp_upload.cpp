#include "ssh/sftp_upload.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

namespace trawl::sftp::detail {
namespace {

constexpr auto removal = std::chrono::seconds(1); ///< of a temporary file, waited for

/// WRITEs one behind the other, so that they fill their SSH packets: with one of its own for each
/// block of 32 KiB, which the header makes a little longer than a packet, there are twice as many.
struct batch {
    std::string packets;
    std::vector<std::size_t> sizes; ///< of their data
};

/// Reads a block for each id into its place; fewer at the end of the file. Blocks.
batch read_batch(local_file const& from, std::string const& handle, std::uint64_t offset,
                 std::size_t block, std::vector<std::uint32_t> const& ids) {
    batch made;
    made.packets.reserve(ids.size() * (block + handle.size() + 32));
    for (auto const id : ids) {
        auto const before = made.packets.size();
        packet_writer request(packet::write, id, std::move(made.packets));
        request.text(handle).u64(offset);
        auto const size =
            request.text(block, [&](char* into) { return from.read_at(offset, into, block); });
        made.packets = request.take();
        if (size > 0) made.sizes.push_back(size);
        if (size == 0) made.packets.resize(before);
        if (size < block) break;
        offset += size;
    }
    return made;
}

/// Blocks are read several at a time: a job on the pool costs as much as a read.
constexpr std::size_t blocks_a_job = 8;

} // namespace

awaitable<> upload::send(local_file const& from, std::string handle, std::uint64_t offset,
                         std::uint64_t expected) {
    auto& link = *t_->link;
    for (bool more = true; more;) {
        // One byte more than there should be, so that the end is seen.
        auto const left = expected > offset ? expected - offset + 1 : link.write_size();
        auto const size = std::min<std::uint64_t>(left, link.write_size());
        auto tickets =
            co_await reserve(std::min<std::uint64_t>(blocks_a_job, (left + size - 1) / size));
        std::vector<std::uint32_t> ids;
        for (std::size_t i = 0; i < tickets.size(); ++i) ids.push_back(link.take_id());
        auto job = [&] { return read_batch(from, handle, offset, size, ids); };
        auto made = co_await link.blocking().run(std::move(job));
        offset += size * ids.size();
        more = made.sizes.size() == ids.size() && made.sizes.back() == size;
        ids.resize(made.sizes.size());
        auto started = link.start(std::move(made.packets), ids);
        for (std::size_t i = 0; i < started.size(); ++i)
            keep(std::move(started[i]), made.sizes[i], std::move(tickets[i]));
        while (!flights_.empty() && flights_.front().on_its_way.answered())
            co_await settle_oldest();
    }
}

awaitable<limiter::ticket> upload::room() {
    auto places = co_await reserve(1);
    co_return std::move(places.front());
}

void upload::write(std::string const& handle, std::uint64_t offset, std::string_view bytes,
                   limiter::ticket place) {
    auto request = t_->link->request(packet::write);
    request.text(handle).u64(offset).text(bytes);
    keep(t_->link->start(request), bytes.size(), std::move(place));
}

awaitable<> upload::finish() {
    while (!flights_.empty()) co_await settle_oldest();
}

awaitable<std::vector<limiter::ticket>> upload::reserve(std::uint64_t most) {
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

awaitable<> upload::settle_oldest() {
    auto oldest = std::move(flights_.front());
    flights_.pop_front();
    auto const answer = co_await oldest.on_its_way.reply();
    t_->link->expect_ok(answer, "write", to_);
    t_->moved(oldest.size);
}

void upload::keep(connection::flight started, std::size_t size, limiter::ticket place) {
    piece next;
    next.size = size;
    next.ticket = std::move(place);
    next.on_its_way = std::move(started);
    flights_.push_back(std::move(next));
}

namespace {

/// What follows the last write: the requests go out together, the server keeps their order (§7).
awaitable<> conclude(transfer_ptr t, remote_handle& file, attributes wanted, std::string path) {
    auto& link = *t->link;
    std::vector<connection::flight> flights;
    if (t->how.preserve) {
        auto setting = link.request(packet::fsetstat);
        wanted.size.reset();
        if (wanted.permissions) *wanted.permissions &= 0777;
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

awaitable<> write_temporary(transfer_ptr t, std::string temporary, std::string remote,
                            attributes attrs, content_writer const& write) {
    attributes permissions;
    permissions.permissions = attrs.permissions.value_or(0666) & 0777;
    auto initial = permissions;
    std::uint32_t flags = open_write | open_create | open_exclusive;
    if (t->how.resume) flags = open_read | open_write | open_create, *initial.permissions |= 0600;
    auto file = co_await open_file(t->link, temporary, flags, initial);
    upload sending(t, remote);
    co_await write(file, sending);
    if (t->how.resume && !t->how.preserve) {
        auto setting = t->link->request(packet::fsetstat);
        setting.text(file.name()).attrs(permissions);
        t->link->start_and_forget(setting);
    }
    co_await conclude(t, file, attrs, remote);
    co_await sending.finish();
}

} // namespace

awaitable<> replace_file(transfer_ptr t, std::string remote, attributes attrs,
                         content_writer write) {
    auto const temporary = temporary_name(remote, t->how.resume);
    std::exception_ptr failed;
    try {
        co_await write_temporary(t, temporary, remote, attrs, write);
        co_await put_in_place(t->link, temporary, remote);
    } catch (...) {
        failed = std::current_exception();
    }
    if (!failed) {
        t->finished();
        co_return;
    }
    if (t->how.resume) std::rethrow_exception(failed);
    try {
        // Behind the requests that may still make it; with the connection gone there is no way.
        // Waited for, as the session's end could come before the server gets to it.
        auto removing = t->link->request(packet::remove);
        removing.text(temporary);
        auto gone = t->link->start(removing);
        t->link->flush();
        auto answer = gone.reply();
        co_await within(removal, std::move(answer));
    } catch (...) {
        // What failed first is what is told.
    }
    std::rethrow_exception(failed);
}

} // namespace trawl::sftp::detail
