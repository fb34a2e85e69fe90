#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trawl::cli {

/// Lines of a file in constant memory. Throws error for what the system refuses.
class line_reader {
public:
    /// `file` is not owned; `name` is for messages; lines beyond `most` bytes end the reading.
    line_reader(int file, std::string name, std::size_t most)
        : file_(file), name_(std::move(name)), most_(most) {}

    /// The next line with its newline, valid until the next call; nullopt at the end. The last line
    /// may lack its newline; so does one that is too long, which comes cut at `most`.
    std::optional<std::string_view> next();

    /// next() has no need to read.
    bool has_line() const noexcept { return buffer_.find('\n', begin_) != buffer_.npos; }

    /// Bytes of the file before the line that next() gave last.
    std::uint64_t offset() const noexcept { return offset_; }

private:
    bool fill();

    int file_;
    std::string name_;
    std::size_t most_;
    std::string buffer_;
    std::size_t begin_ = 0, last_ = 0; ///< of what is unread; length of the last line
    std::uint64_t offset_ = 0;
};

} // namespace trawl::cli
