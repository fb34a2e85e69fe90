#pragma once

#include "ssh/sftp_local.hpp"
#include "ssh/sftp_transfer.hpp"

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::sftp::detail {

/// Writes a remote file, many requests in flight.
class upload {
public:
    upload(transfer_ptr of, std::string to) : t_(std::move(of)), to_(std::move(to)) {}

    /// Sends what of `from` lies behind `offset`, into the open file `handle`. Some of the writes
    /// are still unanswered when it returns; finish() sees to them.
    awaitable<> send(local_file const& from, std::string handle, std::uint64_t offset,
                     std::uint64_t expected);

    /// Waits for a place among the requests in flight.
    awaitable<limiter::ticket> room();

    /// Sends one write, of connection::write_size() bytes at most.
    void write(std::string const& handle, std::uint64_t offset, std::string_view bytes,
               limiter::ticket place);

    awaitable<> finish();

private:
    struct piece {
        connection::flight on_its_way;
        std::size_t size = 0;
        limiter::ticket ticket;
    };

    /// At least one place among the requests in flight, `most` if the other transfers leave as
    /// many. Never waits for one while answers to own requests are out, which hold places
    /// themselves.
    awaitable<std::vector<limiter::ticket>> reserve(std::uint64_t most);

    void keep(connection::flight started, std::size_t size, limiter::ticket place);

    awaitable<> settle_oldest();

    transfer_ptr t_;
    std::string to_;
    std::deque<piece> flights_;
};

/// Writes what is to be in an open file; some of the writes may still be unanswered when it returns.
using content_writer = std::function<awaitable<>(remote_handle const& file, upload& sending)>;

/// Gives `remote` a new content, whole or not at all, under a temporary name until it is there.
/// `attrs`: those of the source. The writer may refer to what outlives the call.
awaitable<> replace_file(transfer_ptr t, std::string remote, attributes attrs,
                         content_writer write);

} // namespace trawl::sftp::detail
