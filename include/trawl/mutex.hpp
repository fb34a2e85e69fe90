#pragma once

#include <trawl/async.hpp>
#include <trawl/detail/hold.hpp>
#include <trawl/detail/parking.hpp>

#include <filesystem>
#include <optional>
#include <utility>

namespace trawl {

/// A mutex for coroutines of one executor: first come, first served. Waiting suspends, it never
/// blocks the loop.
class mutex {
public:
    /// Holds the mutex until it is destroyed, unlocked or assigned to. Move-only, the other holds
    /// nothing then; nor does it when the mutex is gone.
    class [[nodiscard]] guard {
    public:
        guard() noexcept = default; ///< holds nothing
        /// Unlocks now; nothing when it holds nothing.
        void unlock() noexcept { lock_.give_back(); }
        /// Whether it holds the mutex.
        bool owns_lock() const noexcept { return bool(lock_); }

    private:
        friend class mutex;
        explicit guard(mutex& owner) noexcept : lock_(owner, owner.guards_) {}
        detail::hold<mutex> lock_;
    };

    mutex() = default;
    mutex(mutex const&) = delete;
    mutex& operator=(mutex const&) = delete;

    /// Waits for the mutex. Cancelling leaves the queue; the mutex is not taken.
    awaitable<guard> lock();
    /// Waits no longer than `deadline`; nullopt when it passed.
    awaitable<std::optional<guard>> lock_until(time_point deadline);
    /// An empty guard when somebody holds the mutex.
    guard try_lock() noexcept;

private:
    friend class detail::hold<mutex>;
    void take_back() noexcept;
    bool locked_ = false;
    detail::hold_list<mutex> guards_;
    detail::waiter_list waiters_;
    detail::turn_budget budget_;
};

/// An exclusive lock on a file (flock(2)), for several processes. The kernel drops it when the
/// process dies, so it never goes stale. The file is created (0600) when missing and stays.
class file_lock {
public:
    /// Tries once; nullopt when another process or file_lock holds it. Throws error when the file
    /// cannot be opened.
    static std::optional<file_lock> try_acquire(std::filesystem::path const& path);

    /// Waits until the lock is free, asking again every `interval`. Cancelling gives up.
    static awaitable<file_lock> acquire(std::filesystem::path path,
                                        duration interval = std::chrono::milliseconds(20));

    /// Takes the lock over; the other has none then.
    file_lock(file_lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    /// Gives its own lock up first.
    file_lock& operator=(file_lock&& other) noexcept;
    ~file_lock(); ///< gives the lock up; the file stays

private:
    explicit file_lock(int descriptor) noexcept : descriptor_(descriptor) {}
    int descriptor_;
};

} // namespace trawl
