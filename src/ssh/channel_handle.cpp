#include "ssh/channel_handle.hpp"

#include <new>
#include <string>

namespace trawl::ssh::detail {

void channel_handle::adopt(ssh_channel accepted) {
    handle_ = accepted;
    ssh_set_channel_callbacks(handle_, callbacks_);
    link_->attach(*this);
}

awaitable<> channel_handle::open(std::function<int(ssh_channel)> ask, errc refused, step when) {
    if (!link_->alive()) link_->throw_lost(when.at);
    auto* const fresh = ssh_channel_new(link_->handle());
    if (!fresh) throw std::bad_alloc();
    adopt(fresh);
    opening_ = true;
    auto call = [this, &ask] { return handle_ ? ask(handle_) : SSH_ERROR; };
    int const result = co_await link_->drive(call, SSH_AGAIN, when);
    opening_ = false;
    if (result == SSH_OK) co_return;
    if (!link_->alive()) link_->throw_lost(when.at);
    failure const why(refused, when.at, link_->peer(), link_->words());
    close();
    throw why;
}

void channel_handle::close() noexcept {
    if (!handle_) return;
    link_->detach(*this);
    ssh_remove_channel_callbacks(handle_, callbacks_);
    auto const going = std::exchange(handle_, nullptr);
    if (opening_ && link_->alive())
        link_->abandon(going);
    else
        ssh_channel_free(going);
    opening_ = false;
    link_->settle();
}

void channel_handle::connection_closed() noexcept {
    if (handle_) ssh_remove_channel_callbacks(handle_, callbacks_);
    handle_ = nullptr;
}

/// Nothing when it is open; the refusal of a server that has granted a channel before.
awaitable<std::optional<failure>> channel_place::attempt(channel_handle& what, step when) {
    std::optional<failure> refusal;
    try {
        co_await what.open(ssh_channel_open_session, errc::channel_refused, when);
        open_ = of_->opened = true;
        ++of_->open;
    } catch (failure const& thrown) {
        if (thrown.code() != errc::channel_refused || !of_->opened) throw;
        refusal = thrown;
    }
    co_return refusal;
}

/// Servers with a MaxSessions below max_channels refuse until one of our channels ends; and sshd
/// counts a channel until it has dealt with all input at hand, so right after an end it may still
/// refuse. Nothing has run when a channel is refused.
awaitable<> channel_place::open(channel_handle& what, step when) {
    auto refusal = co_await attempt(what, when);
    if (!refusal) co_return;
    auto const turn = co_await of_->refused.lock_until(when.deadline); // one asks at a time
    for (int refused = 1; turn; ++refused) {
        refusal = co_await attempt(what, when);
        if (!refusal) co_return;
        if (of_->open > 0) {
            trawl::detail::waiter place(of_->ended);
            auto const how = co_await place.wait(when.deadline);
            if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
            if (how == trawl::detail::wake::timed_out) break;
            refused = 0;
        } else if (refused >= 5) {
            throw *refusal;
        } else {
            co_await sleep_for(std::chrono::milliseconds(5 << refused));
        }
    }
    throw failure(trawl::errc::timed_out, when.at, of_->peer,
                  "the server gives no further channel");
}

awaitable<> channel_place::open_at_once(channel_handle& what, step when) {
    auto const refusal = co_await attempt(what, when);
    if (refusal) throw *refusal;
}

awaitable<std::unique_ptr<channel_place>> reserve_channel(state_ptr on, step when) {
    auto const link = on->link;
    if (!link) throw failure(errc::not_connected, phase::channel, on->peer, "connect() first");
    auto ticket = co_await on->channels.acquire_until(when.deadline);
    if (!ticket)
        throw failure(trawl::errc::timed_out, phase::channel, on->peer,
                      "all " + std::to_string(on->channels.limit()) + " channels busy");
    co_return std::make_unique<channel_place>(std::move(on), link, std::move(*ticket));
}

std::unique_ptr<channel_place> spare_channel(state_ptr on) {
    auto const link = on->link;
    if (!link || on->channels.in_use() * 2 >= on->channels.limit()) return nullptr;
    auto ticket = on->channels.try_acquire();
    return std::make_unique<channel_place>(std::move(on), link, std::move(ticket));
}

} // namespace trawl::ssh::detail
