#pragma once

#include "ssh/sftp_transfer.hpp"

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::sftp::detail {

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

    /// `budget`: of requests in flight; outlives it. Files of /proc and their like have a size of
    /// zero, which is not relied on.
    download(transfer_ptr of, limiter& budget, std::string from, std::string handle,
             std::uint64_t offset, std::optional<std::uint64_t> size)
        : t_(std::move(of)), from_(std::move(from)), next_(offset),
          size_(size && *size > 0 ? size : std::nullopt) {
        lanes_.push_back(lane{t_->link, &budget, std::move(handle)});
    }

    /// The same file, opened on a further channel, is read there as well from now on.
    void add_lane(link_ptr link, remote_handle file);

    /// What came next, one piece or more; empty at the end.
    awaitable<std::vector<piece>> next();

    /// All that was to come has been handed over.
    bool ended() const noexcept { return flights_.empty() && !more_to_ask(); }

private:
    struct lane {
        link_ptr link;
        limiter* budget;
        std::string handle;
        std::optional<remote_handle> held{}; ///< of those that were added
    };
    struct question {
        lane* over = nullptr;
        connection::flight on_its_way;
        std::uint64_t offset = 0;
        std::uint32_t size = 0;
        limiter::ticket ticket;
    };

    bool more_to_ask() const noexcept { return !ended_ && (!size_ || next_ < *size_); }

    /// Without a size one question at a time would do; a few make the end of a long one come
    /// sooner.
    bool may_ask() const noexcept { return more_to_ask() && (size_ || flights_.size() < 4); }

    void ask_at_once();

    awaitable<> ask();

    /// False when no lane has a place.
    bool try_ask_next();

    void ask_next(lane& over, limiter::ticket ticket);

    question start(lane& over, std::uint64_t offset, std::uint32_t size, limiter::ticket ticket);

    awaitable<> take_oldest(std::vector<piece>& come);

    transfer_ptr t_;
    std::string from_;
    std::deque<lane> lanes_; ///< in turn
    std::size_t turn_ = 0;
    std::uint64_t next_;
    std::optional<std::uint64_t> size_;
    bool ended_ = false;
    std::deque<question> flights_;
};

} // namespace trawl::sftp::detail
