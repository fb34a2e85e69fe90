#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/parking.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace trawl::dns::detail {

/// How many look-ups are under way: `most` at all, and of those whose answer may still be on its way
/// no more than the servers and the buffers between have shown to carry. It begins small, grows by
/// one with each answer and, where an answer failed to come in time, shrinks (RFC 5681 §3.1, by a
/// third). Look-ups that are overdue do not count, so that packets lost by chance do not stop the
/// others.
class window {
public:
    explicit window(std::size_t most) : most_(std::max<std::size_t>(1, most)) {}
    window(window const&) = delete;
    window& operator=(window const&) = delete;

    /// A look-up's place; the window outlives it.
    class place {
    public:
        place() = default;
        explicit place(window& owner) : owner_(&owner) {}
        place(place&& other) noexcept
            : owner_(std::exchange(other.owner_, nullptr)), overdue_(other.overdue_) {}
        place& operator=(place&&) = delete;
        ~place() {
            if (owner_) owner_->leave(overdue_);
        }
        /// An answer has come.
        void answered() noexcept { owner_->grow(); }
        /// The answer should be here by now.
        void set_overdue(time_point sent, time_point now) noexcept {
            if (!std::exchange(overdue_, true)) owner_->lose(sent, now);
        }

    private:
        window* owner_ = nullptr;
        bool overdue_ = false;
    };

    /// Waits for a place; after close() it comes at once.
    awaitable<place> enter();
    /// Without waiting, which is cheaper where there is room; nullopt where there is none, or where
    /// the other coroutines should have their turn first.
    std::optional<place> try_enter();
    void close() noexcept;

    std::size_t in_use() const noexcept { return inside_; }

private:
    bool has_room() const noexcept {
        return closed_ || (inside_ < most_ && inside_ - overdue_ < static_cast<std::size_t>(size_));
    }
    void leave(bool overdue) noexcept;
    void grow() noexcept;
    void lose(time_point sent, time_point now) noexcept;
    void wake() noexcept;

    // The receive buffer of a server with the kernel's default of 212,992 bytes holds 277 small
    // packets.
    static constexpr double least = 256;

    std::size_t most_, inside_ = 0, overdue_ = 0;
    double size_ = least, threshold_ = 1e9;
    time_point shrunk_{};
    bool closed_ = false;
    trawl::detail::waiter_list waiters_;
    trawl::detail::turn_budget budget_;
};

} // namespace trawl::dns::detail
