#include "ssh/sftp_download.hpp"

#include <algorithm>

namespace trawl::sftp::detail {

awaitable<std::vector<download::piece>> download::next() {
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

void download::ask_at_once() {
    while (may_ask())
        if (auto ticket = budget_.try_acquire(); ticket)
            ask_next(std::move(ticket));
        else
            return;
}

awaitable<> download::ask() {
    ask_at_once();
    if (!flights_.empty() || !more_to_ask()) co_return;
    auto ticket = co_await budget_.acquire();
    ask_next(std::move(ticket));
}

void download::ask_next(limiter::ticket ticket) {
    auto const block = t_->link->read_size();
    auto const left = size_ ? std::min<std::uint64_t>(*size_ - next_, block) : block;
    flights_.push_back(start(next_, static_cast<std::uint32_t>(left), std::move(ticket)));
    next_ += left;
}

download::question download::start(std::uint64_t offset, std::uint32_t size,
                                   limiter::ticket ticket) {
    auto reading = t_->link->request(packet::read);
    reading.text(handle_).u64(offset).u32(size);
    question asked;
    asked.on_its_way = t_->link->start(reading);
    asked.offset = offset;
    asked.size = size;
    asked.ticket = std::move(ticket);
    return asked;
}

awaitable<> download::take_oldest(std::vector<piece>& come) {
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

} // namespace trawl::sftp::detail
