#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::backup::detail {

/// Reads the data area of a sparse member, "GNU.sparse 1.0" as libarchive and GNU tar write it:
///
///     COUNT \n (OFFSET \n BYTES \n) * COUNT, zeros up to a multiple of 512, the bytes of all pieces
///
/// and says where in the file they belong. Sans I/O.
class sparse_reader {
public:
    /// `size`: of the file with its holes.
    explicit sparse_reader(std::uint64_t size) noexcept : size_(size) {}

    /// Takes the next bytes of the data area and calls place(OFFSET, BYTES) for what belongs into
    /// the file. False when they are no such area, or lead out of the file.
    template <class Place>
    bool feed(std::string_view bytes, Place place) {
        while (!ready_ && !bytes.empty()) {
            if (!take(bytes.front())) return false;
            bytes.remove_prefix(1);
        }
        while (!bytes.empty() && next_ < pieces_.size()) {
            auto& [offset, left] = pieces_[next_];
            auto const now = bytes.substr(
                0, static_cast<std::size_t>(std::min<std::uint64_t>(left, bytes.size())));
            if (!now.empty()) place(offset, now);
            offset += now.size();
            left -= now.size();
            bytes.remove_prefix(now.size());
            if (left == 0) ++next_;
        }
        return true; // what follows the last piece fills the last record of the tar
    }
    /// All pieces were there.
    bool complete() const noexcept;

private:
    bool take(char next);
    bool take_number();

    std::uint64_t size_;
    std::uint64_t taken_ = 0; ///< bytes of the map, padding included
    std::uint64_t number_ = 0;
    std::size_t digits_ = 0, numbers_ = 0;
    std::uint64_t count_ = 0;
    bool listed_ = false; ///< the list has ended, zeros follow
    bool ready_ = false;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> pieces_; ///< offset, bytes left
    std::size_t next_ = 0;
};

} // namespace trawl::backup::detail
