#pragma once

#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace trawl::icmp::detail {

/// A queue that grows by doubling and then never allocates again, unlike std::deque.
template <class T>
class ring {
public:
    bool empty() const noexcept { return first_ == last_; }
    std::size_t size() const noexcept { return last_ - first_; }
    T& front() noexcept { return items_[first_ & (items_.size() - 1)]; }

    void push(T value) {
        if (size() == items_.size()) grow();
        items_[last_++ & (items_.size() - 1)] = std::move(value);
    }
    T pop() noexcept {
        assert(!empty());
        return std::move(items_[first_++ & (items_.size() - 1)]);
    }

private:
    void grow() {
        std::vector<T> larger(items_.empty() ? 16 : items_.size() * 2);
        std::size_t const count = size();
        for (std::size_t i = 0; i < count; ++i) larger[i] = pop();
        items_ = std::move(larger);
        first_ = 0, last_ = count;
    }

    std::vector<T> items_; // a power of two
    std::size_t first_ = 0, last_ = 0;
};

} // namespace trawl::icmp::detail
