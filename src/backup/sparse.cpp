#include "backup/sparse.hpp"

namespace trawl::backup::detail {

namespace {
constexpr std::uint64_t record = 512;
constexpr std::uint64_t most_pieces = 4'000'000; // 64 MB of memory here
} // namespace

bool sparse_reader::complete() const noexcept {
    return ready_ && std::all_of(pieces_.begin() + static_cast<std::ptrdiff_t>(next_),
                                 pieces_.end(), [](auto const& p) { return p.second == 0; });
}

// A byte of the map.
bool sparse_reader::take(char next) {
    ++taken_;
    if (listed_) {
        if (next != '\0') return false;
    } else if (next == '\n') {
        if (digits_ == 0 || !take_number()) return false;
        number_ = digits_ = 0;
    } else {
        // 18 digits: beyond the size of any file, within 64 bits.
        if (next < '0' || next > '9' || ++digits_ > 18) return false;
        number_ = number_ * 10 + static_cast<std::uint64_t>(next - '0');
    }
    ready_ = listed_ && taken_ % record == 0;
    return true;
}

bool sparse_reader::take_number() {
    if (numbers_++ == 0) {
        count_ = number_;
        if (count_ > most_pieces) return false;
    } else if (numbers_ % 2 == 0) {
        auto const reached = pieces_.empty() ? 0 : pieces_.back().first + pieces_.back().second;
        if (number_ < reached || number_ > size_) return false;
        pieces_.emplace_back(number_, 0);
    } else {
        auto& [offset, bytes] = pieces_.back();
        if (number_ > size_ - offset) return false;
        bytes = number_;
    }
    listed_ = numbers_ == 1 + 2 * count_;
    return true;
}

} // namespace trawl::backup::detail
