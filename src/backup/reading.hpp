#pragma once

#include "backup/blocks.hpp"
#include "backup/files.hpp"
#include "backup/hash.hpp"
#include "backup/manifest.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::backup::detail {

/// How many bytes of the archive's plain stream an entry's content takes.
inline std::uint64_t stored_bytes(entry const& e) noexcept { return e.stored ? e.stored : e.size; }

/// An archive of a chain.
struct open_archive {
    open_archive(std::unique_ptr<stored_file const> opened, chain_link const& link)
        : name(link.archive), file(std::move(opened)), map(link) {}

    std::string name;
    std::unique_ptr<stored_file const> file; ///< nullptr: not there
    block_map map;
};

/// An entry whose content is wanted, and what for: the number is the caller's.
struct wish {
    entry const* content = nullptr;
    std::uint32_t number = 0;
};

/// Wishes that one job reads one after the other: [begin, end) of a list.
struct span {
    std::size_t begin = 0, end = 0;
};

/// Sorts by place, newest archive first (its file is read in the order of its bytes), and cuts into
/// spans of one archive each that take some time but not long.
std::vector<span> arrange(std::vector<wish>& wishes, std::vector<open_archive> const& archives);

/// Reads contents out of one archive and checks their hashes. One thread at a time.
class content_reader {
public:
    content_reader(open_archive const& from, hash algorithm)
        : blocks_(*from.file, from.map), hash_(algorithm) {}

    /// A whole content that lies within one block, checked; empty view and false when it does not.
    /// Valid until the next call. Throws std::runtime_error as read().
    bool whole(entry const& e, std::string_view& bytes);

    /// Calls take(bytes) for all of it in pieces, in order, and checks the hash at the end. Throws
    /// std::runtime_error that says what is wrong with the archive; what `take` throws passes.
    template <class Take>
    void read(entry const& e, std::stop_token const& stop, Take take) {
        auto at = e.offset;
        hash_.finish();
        for (auto left = stored_bytes(e); left > 0;) {
            stop_point(stop);
            auto const piece = blocks_.at(at, left);
            hash_.update(piece);
            take(piece);
            at += piece.size();
            left -= piece.size();
        }
        check(hash_.finish(), e);
    }

private:
    void check(digest const& found, entry const& e) const;

    block_reader blocks_;
    hasher hash_;
};

} // namespace trawl::backup::detail
