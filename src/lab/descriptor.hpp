#pragma once

#include <unistd.h>

#include <utility>

namespace trawl::lab {

/// A file descriptor with an owner.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() { close(); }

    int get() const noexcept { return number_; }
    int release() noexcept { return std::exchange(number_, -1); }
    void close() noexcept {
        if (number_ >= 0) ::close(release());
    }

private:
    int number_ = -1;
};

} // namespace trawl::lab
