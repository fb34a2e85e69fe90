#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The data types of RFC 4251 §5.
namespace trawl::ssh::detail {

inline void put_u32(std::string& to, std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift & 0xff);
}

inline void put_string(std::string& to, std::string_view bytes) {
    put_u32(to, bytes.size());
    to += bytes;
}

/// Reads what has come; nullopt where it ends too early, and from there on.
class wire_reader {
public:
    explicit wire_reader(std::string_view bytes) noexcept : rest_(bytes) {}

    std::optional<std::uint8_t> u8() {
        if (rest_.empty()) return {};
        auto const value = static_cast<std::uint8_t>(rest_[0]);
        rest_.remove_prefix(1);
        return value;
    }
    std::optional<std::uint32_t> u32() {
        if (rest_.size() < 4) return fail();
        std::uint32_t value = 0;
        for (int i = 0; i < 4; ++i) value = value << 8 | *u8();
        return value;
    }
    std::optional<std::string_view> string() {
        auto const size = u32();
        if (!size || *size > rest_.size()) return fail();
        auto const bytes = rest_.substr(0, *size);
        rest_.remove_prefix(*size);
        return bytes;
    }
    std::string_view rest() const noexcept { return rest_; }

private:
    std::nullopt_t fail() noexcept {
        rest_ = {};
        return std::nullopt;
    }

    std::string_view rest_;
};

} // namespace trawl::ssh::detail
