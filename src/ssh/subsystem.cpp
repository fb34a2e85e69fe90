#include "ssh/subsystem.hpp"

#include <asio/post.hpp>

#include <algorithm>

namespace trawl::ssh::detail {
namespace {

// What libssh puts into one SSH packet where the peer takes 32 KiB (all do). It sends a packet at
// once, and of more than that all but the first after a poll, from a copy in a buffer that never
// shrinks.
constexpr std::size_t largest_write = 32 * 1024 - 10;
// Requests that are queued in one turn of the loop leave together: one SSH packet, one send().
constexpr std::size_t gathered = 32 * 1024;

awaitable<std::unique_ptr<subsystem>> start_subsystem(state_ptr self, std::string name) {
    auto const when = step_within(phase::channel, self->how.timeouts.exec);
    auto place = co_await reserve_channel(self, when);
    auto opened = std::make_unique<subsystem>(std::move(place), self->executor, std::move(name));
    co_await opened->start(when);
    co_return opened;
}

awaitable<std::unique_ptr<byte_stream>> start_spare(state_ptr self, std::string name) {
    auto const when = step_within(phase::channel, self->how.timeouts.exec);
    auto place = spare_channel(self);
    if (!place) co_return nullptr;
    auto opened = std::make_unique<subsystem>(std::move(place), self->executor, std::move(name));
    co_await opened->start(when, false);
    co_return std::move(opened);
}

} // namespace

subsystem::subsystem(std::unique_ptr<channel_place> place, asio::any_io_executor executor,
                     std::string name)
    : place_(std::move(place)), link_(place_->link()), executor_(std::move(executor)),
      name_(std::move(name)), handle_(link_, &callbacks_) {
    auto& c = callbacks_;
    ssh_callbacks_init(&c);
    c.userdata = this;
    c.channel_data_function = [](ssh_session, ssh_channel, void* data, std::uint32_t size,
                                 int is_err, void* self) {
        auto const& take = static_cast<subsystem*>(self)->received;
        if (!is_err && take) take({static_cast<char const*>(data), size});
        return static_cast<int>(size);
    };
    c.channel_eof_function = [](ssh_session, ssh_channel, void* self) {
        static_cast<subsystem*>(self)->closed_ = true;
    };
    c.channel_close_function = c.channel_eof_function;
    link_->listen(*this);
}

subsystem::~subsystem() {
    flush();
    link_->ignore(*this);
}

awaitable<> subsystem::start(step when, bool insist) {
    if (insist)
        co_await place_->open(handle_, when);
    else
        co_await place_->open_at_once(handle_, when);
    auto request = [this] {
        return usable() ? ssh_channel_request_subsystem(handle_, name_.c_str()) : SSH_ERROR;
    };
    int const result = co_await link_->drive(request, SSH_AGAIN, when);
    if (result == SSH_OK) co_return;
    if (!link_->alive()) link_->throw_lost(when.at);
    throw failure(errc::exec_failed, when.at, link_->peer(), "subsystem " + name_);
}

void subsystem::send(std::string bytes) {
    if (!queued_.empty() && queued_.back().size() + bytes.size() <= gathered)
        queued_.back() += bytes;
    else
        queued_.push_back(std::move(bytes));
    if (std::exchange(flush_posted_, true)) return;
    auto later = [self = std::weak_ptr<subsystem*>(self_)] {
        if (auto const there = self.lock()) (*there)->flush();
    };
    asio::post(executor_, std::move(later));
}

void subsystem::flush() {
    flush_posted_ = false;
    if (std::exchange(writing_, true)) return; // settle() below comes back through progressed()
    while (!queued_.empty() && usable()) {
        int wrote = 0;
        if (!link_->write_pending()) {
            auto const& front = queued_.front();
            auto const piece =
                static_cast<std::uint32_t>(std::min(largest_write, front.size() - sent_));
            wrote = ssh_channel_write(handle_, front.data() + sent_, piece);
        }
        if (wrote > 0) sent_ += static_cast<std::size_t>(wrote);
        if (sent_ == queued_.front().size()) queued_.pop_front(), sent_ = 0;
        bool const moved = link_->settle();
        if (wrote <= 0 && !moved) break;
    }
    writing_ = false;
    tell_end();
}

void subsystem::progressed() noexcept {
    if (!queued_.empty()) flush();
    tell_end();
}

void subsystem::tell_end() {
    if (usable() || !ended || std::exchange(told_, true)) return;
    auto const said =
        link_->alive() ? std::string("the server has closed the channel") : link_->words();
    ended(std::make_exception_ptr(failure(errc::disconnected, phase::exec, link_->peer(), said)));
}

awaitable<std::unique_ptr<byte_stream>> subsystem::another() {
    return start_spare(place_->session(), name_);
}

awaitable<std::unique_ptr<subsystem>> open_subsystem(session& on, std::string name) {
    return start_subsystem(on.state_, std::move(name));
}

} // namespace trawl::ssh::detail
