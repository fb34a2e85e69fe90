#include "mail/letter.hpp"

#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace trawl::mime::detail {

void letter::prepend(std::string text) {
    piece first;
    first.size = text.size();
    first.text = std::move(text);
    pieces_.insert(pieces_.begin(), std::move(first));
}

void letter::append(std::string_view text) {
    if (pieces_.empty() || pieces_.back().how != form::text) pieces_.emplace_back();
    auto& last = pieces_.back();
    last.text += text;
    last.size = last.text.size();
}

void letter::append_base64(content bytes) {
    auto const size = bytes.size();
    auto const encoded = size ? std::optional(base64_size(*size)) : std::nullopt;
    pieces_.push_back({form::base64, {}, std::move(bytes), encoded});
}

void letter::append_lines(content bytes, std::uint64_t size) {
    pieces_.push_back({form::lines, {}, std::move(bytes), size});
}

std::optional<std::uint64_t> letter::size() const {
    std::uint64_t all = 0;
    for (auto const& p : pieces_) {
        if (!p.size) return std::nullopt;
        all += *p.size;
    }
    return all;
}

std::size_t letter::read(std::span<char> block) {
    std::size_t filled = 0;
    while (filled < block.size()) {
        if (left_.empty() && !refill()) break;
        auto const size = std::min(left_.size(), block.size() - filled);
        std::memcpy(block.data() + filled, left_.data(), size);
        left_.remove_prefix(size);
        filled += size;
    }
    return filled;
}

/// Makes left_ the next bytes; false at the end.
bool letter::refill() {
    while (left_.empty()) {
        if (at_ == pieces_.size()) return false;
        auto& now = pieces_[at_];
        if (now.how == form::text) {
            left_ = now.text;
            ++at_;
        } else
            encode();
    }
    return true;
}

/// The next block of a content; at its end goes on to the next piece.
void letter::encode() {
    constexpr std::size_t block = base64_line * 1024;
    auto& now = pieces_[at_];
    if (!open_) open_ = now.bytes.open(), taken_ = 0, ends_ = {};
    block_.resize(block);
    auto const size = open_->read(block_);
    taken_ += size;
    encoded_.clear();
    std::string_view const bytes(block_.data(), size);
    if (now.how == form::base64)
        append_base64_lines(encoded_, bytes);
    else
        ends_.write(bytes, encoded_);
    left_ = encoded_;
    if (size == block) return;
    open_.reset();
    check_size(now);
    ++at_;
}

void letter::check_size(piece const& ended) const {
    auto const wanted = ended.bytes.size();
    if (wanted && *wanted != taken_)
        throw error(errc::changed, "attachment",
                    fmt::format("it has {} bytes and was said to have {}", taken_, *wanted));
}

std::string random_token() {
    std::random_device source;
    return fmt::format("{:08x}{:08x}{:08x}", source(), source(), source());
}

} // namespace trawl::mime::detail
