#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace trawl::cli {

/// Cuts a stream of bytes into whole lines. A line longer than `longest` comes in several.
class line_cutter {
public:
    static constexpr std::size_t longest = 64 * 1024;

    /// The lines that `bytes` completes, each with its newline; empty when it completes none.
    std::string take(std::string_view bytes) {
        std::string lines;
        while (!bytes.empty()) {
            auto const newline = bytes.find('\n');
            auto const end = newline == bytes.npos ? bytes.size() : newline;
            auto const part = bytes.substr(0, std::min(end, longest - rest_.size()));
            rest_ += part;
            bytes.remove_prefix(part.size() + (part.size() == newline));
            if (part.size() == newline || rest_.size() == longest) lines += finish();
        }
        return lines;
    }

    /// What is left as a line; empty when nothing is, unless a whole empty line was taken.
    std::string finish() {
        rest_ += '\n';
        std::string line;
        line.swap(rest_);
        return line;
    }
    bool empty() const noexcept { return rest_.empty(); }

private:
    std::string rest_;
};

} // namespace trawl::cli
