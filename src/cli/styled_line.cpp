#include "cli/styled_line.hpp"

#include <fmt/format.h>

#include <cassert>

namespace trawl::cli {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

} // namespace

styled_line& styled_line::text(std::string_view text, colour front, colour back) {
    std::size_t end = 0, taken = 0;
    for (; end < text.size(); ++end) {
        if (!begins_character(text[end])) continue;
        if (taken == room_) break;
        ++taken;
    }
    if (taken == 0) return *this;
    style(front, back);
    bytes_ += text.substr(0, end);
    width_ += taken;
    room_ -= taken;
    return *this;
}

styled_line& styled_line::column(std::size_t which) {
    if (which > width_) text(std::string(which - width_, ' '));
    return *this;
}

styled_line& styled_line::append(styled_line const& other) {
    assert(other.width_ <= room_);
    style(usual, usual);
    bytes_ += other.bytes_;
    front_ = other.front_, back_ = other.back_;
    width_ += other.width_;
    room_ -= other.width_;
    return *this;
}

std::string styled_line::line() const {
    auto whole = bytes_;
    if (front_ != usual || back_ != usual) whole += "\x1b[m";
    return whole + '\n';
}

void styled_line::style(colour front, colour back) {
    if (!coloured_ || (front == front_ && back == back_)) return;
    if (front != front_)
        bytes_ += front == usual ? "\x1b[39m" : fmt::format("\x1b[38;5;{}m", front);
    if (back != back_) bytes_ += back == usual ? "\x1b[49m" : fmt::format("\x1b[48;5;{}m", back);
    front_ = front, back_ = back;
}

} // namespace trawl::cli
