#include <trawl/mutex.hpp>
#include <trawl/smtp.hpp>

#include "mail/smtp_connection.hpp"

namespace trawl::smtp {

using detail::connection;
using detail::destination;
using detail::make_job;

struct client::state {
    state(asio::any_io_executor executor, smtp::options options)
        : wire(std::move(executor), std::make_shared<destination>(std::move(options))) {}
    mutex turn; // one dialogue at a time
    connection wire;
};

client::client(asio::any_io_executor executor, smtp::options options)
    : state_(std::make_unique<state>(std::move(executor), std::move(options))) {}

client::client(asio::ip::tcp::socket connected, smtp::options options) {
    options.addresses.clear();
    state_ = std::make_unique<state>(connected.get_executor(), std::move(options));
    state_->wire.adopt(std::move(connected));
}

client::~client() = default;

awaitable<receipt> client::send(outgoing one) {
    auto work = make_job(std::move(one));
    auto const guard = co_await state_->turn.lock();
    auto sending = state_->wire.send(std::move(work));
    co_return co_await std::move(sending);
}

awaitable<receipt> client::send(mime::message letter) {
    return send(outgoing::of(std::move(letter)));
}

awaitable<receipt> client::send(mime::envelope envelope, std::string content) {
    return send(outgoing::of(std::move(envelope), std::move(content)));
}

awaitable<> client::send_all(queue<outgoing>& from,
                             std::function<void(std::uint64_t, receipt)> done) {
    auto const guard = co_await state_->turn.lock();
    std::function<void()> const nothing;
    co_await state_->wire.send_all(from, done, nullptr, 0, nothing);
}

awaitable<> client::quit() {
    auto const guard = co_await state_->turn.lock();
    co_await state_->wire.quit();
}

bool client::connected() const noexcept { return state_->wire.open(); }

} // namespace trawl::smtp
