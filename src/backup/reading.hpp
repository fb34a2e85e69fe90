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

/// Opens the archives of `chain` that are marked; the others have no file.
std::vector<open_archive> open_chain(store& from, std::vector<chain_link> const& chain,
                                     std::vector<bool> const& wanted);

/// Reads contents out of one archive, and the earlier parts of those that have some out of the
/// others; checks their hashes. One thread at a time.
class content_reader {
public:
    /// `chain` outlives the reader; what is read lies in open ones, most of it in `archive`.
    content_reader(std::vector<open_archive> const& chain, std::uint32_t archive, hash algorithm)
        : chain_(chain), archive_(archive), at_(archive),
          blocks_(*chain[archive].file, chain[archive].map), hash_(algorithm),
          part_hash_(algorithm) {}

    /// Of the archive that was read last: it is to blame for what read() throws.
    std::string const& archive() const noexcept { return chain_[at_].name; }

    /// A whole content that lies within one block of the archive, checked; empty view and false when it does not.
    /// Valid until the next call. Throws std::runtime_error as read().
    bool whole(entry const& e, std::string_view& bytes);

    /// Calls take(bytes) for all of it in pieces, in order, and checks the hash at the end. Throws
    /// std::runtime_error that says what is wrong with the archive; what `take` throws passes.
    template <class Take>
    void read(entry const& e, std::stop_token const& stop, Take take) {
        hash_.finish();
        at_ = archive_;
        if (e.parts.empty()) pour(blocks_, e.offset, stored_bytes(e), stop, take);
        for (auto const& part : e.parts) {
            at_ = part.archive;
            block_reader from(*chain_[at_].file, chain_[at_].map);
            part_hash_.finish();
            pour(from, part.offset, part.bytes, stop, [&](std::string_view piece) {
                part_hash_.update(piece);
                take(piece);
            });
            check(part_hash_.finish(), part.content);
        }
        check(hash_.finish(), e.content);
    }

private:
    template <class Take>
    void pour(block_reader& from, std::uint64_t at, std::uint64_t left, std::stop_token const& stop,
              Take take) {
        while (left > 0) {
            stop_point(stop);
            auto const piece = from.at(at, left);
            hash_.update(piece);
            take(piece);
            at += piece.size();
            left -= piece.size();
        }
    }
    static void check(digest const& found, digest const& expected);

    std::vector<open_archive> const& chain_;
    std::uint32_t archive_, at_;
    block_reader blocks_;
    hasher hash_, part_hash_;
};

} // namespace trawl::backup::detail
