#pragma once

#include "mail/encoding.hpp"

#include <trawl/mime_content.hpp>
#include <trawl/mime_part.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::mime::detail {

/// A message in pieces: text that stands already, and contents that are encoded while they are
/// read. Costs a block of memory whatever is attached.
class letter final : public source {
public:
    void prepend(std::string text);
    void append(std::string_view text);
    void append_base64(content bytes);
    /// With every line end as CRLF, which makes `size` bytes of it.
    void append_lines(content bytes, std::uint64_t size);

    std::size_t read(std::span<char> block) override;
    std::optional<std::uint64_t> size() const override;

private:
    enum class form { text, base64, lines };
    struct piece {
        form how = form::text;
        std::string text;
        content bytes;
        std::optional<std::uint64_t> size; ///< encoded
    };

    bool refill();
    void encode();
    void check_size(piece const& ended) const;

    std::vector<piece> pieces_;
    std::size_t at_ = 0;           ///< the piece that is read
    std::unique_ptr<source> open_; ///< its content
    line_ends ends_;
    std::uint64_t taken_ = 0; ///< of its content
    std::string block_, encoded_;
    std::string_view left_; ///< ready to be read
};

/// The message that `root` is, its boundaries made of `token`. Throws as mime::open.
std::unique_ptr<letter> open_letter(part const& root, transport way, std::string const& token);

/// 96 bits that nobody has used, in hexadecimal digits.
std::string random_token();

} // namespace trawl::mime::detail
