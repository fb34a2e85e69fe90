#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace trawl::smtp::detail {

/// Called with '>' or '<' and each line of a dialogue; secrets are replaced and a message's text is
/// left out.
using tracer = std::function<void(char direction, std::string_view line)>;

/// What is to be written next. Bytes that hold a secret are overwritten once they have been taken.
class outbox {
public:
    explicit outbox(tracer trace = {}) : trace_(std::move(trace)) {}
    outbox(outbox const&) = delete;
    outbox& operator=(outbox const&) = delete;
    ~outbox() { release(); }

    /// Appends a command; CRLF is added.
    void line(std::string_view text) {
        begin_line() += text;
        end_line();
    }
    /// Where a command goes that is written piece by piece, until end_line().
    std::string& begin_line() {
        auto& out = bytes();
        line_at_ = out.size();
        return out;
    }
    void end_line();
    /// Appends a line that holds a secret; a trace shows `instead`. Overwrites `text`.
    void secret_line(std::string text, std::string_view instead);
    /// Where a message's text goes, about `size` bytes of it; note() tells the trace how much.
    std::string& text(std::size_t size);
    void note(std::size_t size);

    /// All of it; valid until something is appended, or until release().
    std::string_view take() {
        taken_ = true;
        return bytes_;
    }
    /// Forgets what was taken, and gives its memory back when that is much.
    void release();
    bool empty() const noexcept { return taken_ || bytes_.empty(); }
    std::size_t size() const noexcept { return taken_ ? 0 : bytes_.size(); }

    tracer const& trace() const noexcept { return trace_; }

private:
    std::string& bytes() {
        if (taken_) release();
        return bytes_;
    }

    std::string bytes_;
    std::size_t line_at_ = 0;
    bool taken_ = false, secret_ = false;
    tracer trace_;
};

} // namespace trawl::smtp::detail
