#include "cli/line_reader.hpp"

#include "cli/durable.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

namespace trawl::cli {

std::optional<std::string_view> line_reader::next() {
    offset_ += last_;
    last_ = 0;
    std::size_t searched = 0;
    for (;;) {
        auto const unread = std::string_view(buffer_).substr(begin_);
        auto const newline = unread.find('\n', searched);
        bool const ended = newline != unread.npos;
        if (!ended && unread.size() < most_ && fill()) {
            searched = unread.size();
            continue;
        }
        if (!ended && unread.empty()) return {};
        last_ = std::min(ended ? newline + 1 : unread.size(), most_);
        auto const line = std::string_view(buffer_).substr(begin_, last_);
        begin_ += last_;
        return line;
    }
}

/// Reads some more behind what is unread; false at the end of the file.
bool line_reader::fill() {
    constexpr std::size_t chunk = 64u << 10;
    buffer_.erase(0, begin_);
    begin_ = 0;
    auto const unread = buffer_.size();
    buffer_.resize(unread + chunk);
    for (;;) {
        auto const length = ::read(file_, buffer_.data() + unread, chunk);
        if (length < 0 && errno == EINTR) continue;
        buffer_.resize(unread + static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
        if (length < 0) fail("read " + name_);
        return length > 0;
    }
}

} // namespace trawl::cli
