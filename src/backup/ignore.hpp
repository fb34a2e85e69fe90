#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// One pattern of gitignore(5), compiled. The time a match takes is bounded by the length of the
/// pattern times that of the path, whatever the pattern is.
class ignore_pattern {
public:
    /// nullopt for a line without a pattern: empty or a comment.
    static std::optional<ignore_pattern> parse(std::string_view line);

    /// `path`: relative to the folder that the pattern is for.
    bool matches(std::string_view path, bool is_folder) const;
    bool negative() const noexcept { return negative_; } ///< begins with "!": takes back in

private:
    enum class token_kind : std::uint8_t {
        letter,  ///< this byte
        any,     ///< "?": a byte but no slash
        set,     ///< "[...]": one of these, no slash
        star,    ///< "*": any number of bytes but slashes
        stars,   ///< "**": any number of bytes
        folders, ///< "**/": nothing, or anything that ends with a slash
        never,   ///< a set that is not closed
    };
    struct token {
        token_kind what;
        char letter = 0;
        std::uint32_t set = 0; ///< index into sets_
    };

    void compile(std::string_view glob);
    std::size_t compile_stars(std::string_view glob, std::size_t at);
    std::size_t compile_set(std::string_view glob, std::size_t at);
    bool takes(token const& t, char c) const;
    bool matches_glob(std::string_view text) const;

    std::string prefix_; ///< before the first wildcard, to be met letter by letter
    std::vector<token> tokens_;
    std::vector<std::bitset<256>> sets_;
    bool negative_ = false;
    bool folders_only_ = false; ///< ends with a slash
    bool anchored_ = false; ///< has a slash before its end: matches the path, else the last name
};

/// The patterns of one file or option, in their order.
class ignore_list {
public:
    ignore_list() = default;
    /// The text of an ignore file.
    explicit ignore_list(std::string_view text);

    void add(std::string_view line);
    void append(ignore_list more);
    bool empty() const noexcept { return patterns_.empty(); }

    /// By the last pattern that matches: true to leave it out, false to take it in; nullopt: none.
    std::optional<bool> leaves_out(std::string_view path, bool is_folder) const;

private:
    std::vector<ignore_pattern> patterns_;
};

} // namespace trawl::backup::detail
