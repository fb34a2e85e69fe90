#pragma once

#include "targets/interval_set.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::targets::detail {

/// Numbers that are written with exactly `width` digits, leading zeros included.
struct digit_run {
    unsigned width;
    std::uint64_t first, last;
    std::uint64_t before; ///< numbers of the bracket before this run
};

/// The numbers of one bracket in listed order, each text once: [8-12,09] is 1:8-9, 2:10-12, 2:9.
class bracket {
public:
    /// Adds first-last, padded with zeros to `width`.
    void add(std::uint64_t first, std::uint64_t last, unsigned width);

    std::uint64_t size() const noexcept { return size_; }
    bool fixed_width() const noexcept;
    unsigned widest() const noexcept;
    std::vector<digit_run> const& runs() const noexcept { return runs_; }

    /// Appends the text of the number at `rank` < size().
    void write(std::uint64_t rank, std::string& to) const;
    /// The rank of a text of digits.
    std::optional<std::uint64_t> rank(std::string_view digits) const;

private:
    std::vector<digit_run> runs_;
    std::uint64_t size_ = 0;
};

/// `rack[1-4]-[01-40].example`: literals around brackets, kept as they are; the last bracket counts
/// fastest. A plain name is a host list without brackets.
struct host_list {
    std::vector<std::string> literals; ///< one more than brackets
    std::vector<bracket> brackets;

    /// Number of names; at most 2^64 - 1 (the grammar refuses more).
    std::uint64_t size() const noexcept;
    std::string at(std::uint64_t rank) const;
    /// The rank of `name` in this list, compared without case.
    std::optional<std::uint64_t> rank(std::string_view name) const;
    bool plain() const noexcept { return brackets.empty(); }
    /// "rack[1-4]-[01-40].example" in lower case, each number with the digits it is written with;
    /// the same text for the same names in the same order of the same brackets only.
    std::string canonical() const;
};

/// The ranks of `in` whose names `other` holds too; nullopt when the two are too large to compare
/// one by one.
std::optional<interval_set> common_ranks(host_list const& in, host_list const& other);

/// ASCII lower case.
std::string lower(std::string_view text);

} // namespace trawl::targets::detail
