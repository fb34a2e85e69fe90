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

void download::add_lane(link_ptr link, remote_handle file) {
    auto& budget = link->budget();
    auto const handle = file.name();
    lanes_.push_back(lane{std::move(link), &budget, handle, std::move(file)});
}

void download::ask_at_once() {
    while (may_ask() && try_ask_next()) {
    }
}

bool download::try_ask_next() {
    for (std::size_t tried = 0; tried < lanes_.size(); ++tried) {
        auto& next = lanes_[turn_++ % lanes_.size()];
        auto ticket = next.budget->try_acquire();
        if (!ticket) continue;
        ask_next(next, std::move(ticket));
        return true;
    }
    return false;
}

awaitable<> download::ask() {
    ask_at_once();
    if (!flights_.empty() || !more_to_ask()) co_return;
    auto& first = lanes_.front();
    auto ticket = co_await first.budget->acquire();
    ask_next(first, std::move(ticket));
}

void download::ask_next(lane& over, limiter::ticket ticket) {
    auto const block = over.link->read_size();
    auto const left = size_ ? std::min<std::uint64_t>(*size_ - next_, block) : block;
    flights_.push_back(start(over, next_, static_cast<std::uint32_t>(left), std::move(ticket)));
    next_ += left;
}

download::question download::start(lane& over, std::uint64_t offset, std::uint32_t size,
                                   limiter::ticket ticket) {
    auto reading = over.link->request(packet::read);
    reading.text(over.handle).u64(offset).u32(size);
    question asked;
    asked.over = &over;
    asked.on_its_way = over.link->start(reading);
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
        flights_.push_front(start(*oldest.over, oldest.offset + size, oldest.size - size,
                                  std::move(oldest.ticket)));
    }
    come.push_back(std::move(got));
}

} // namespace trawl::sftp::detail
