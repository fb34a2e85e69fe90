#pragma once

#include "backup/archive.hpp"
#include "backup/files.hpp"
#include "backup/hash.hpp"
#include "backup/plan.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::backup::detail {

/// Carries out a plan: reads the files, hashes them and yields the tar stream in blocks of one
/// size. Each byte that is hashed is the byte that goes into the archive. Plain and blocking: one
/// pool job a block, one at a time.
///
/// Small files (1 MiB) are read whole before their header is written; larger ones are streamed. A
/// file that changes meanwhile is read again (streamed ones become a second member of the same
/// name, the last one counts), and flagged when it does not come to rest. So it goes with one that
/// cannot be read to its end: the last member has what could be read, and no zeros for the rest.
///
/// Of a file to append to the beginning is read and hashed; when that is what the base has, what
/// follows is stored as a member of its own name (tail.hpp), else all of it.
///
/// A new file with the content of one that is gone becomes a reference to that: in the manifest to
/// its place in an older archive, in this one a hard link to the old name, which is still there when
/// one archive after the other is extracted by tar.
class tar_stream {
public:
    /// `source`: the open folder; `base` outlives the stream; `archive`: index of the new archive
    /// in the chain.
    tar_stream(int source, plan what, manifest const* base, hash algorithm, std::uint32_t archive,
               std::size_t block_bytes);

    /// The next block, shorter only at the end, then empty.
    std::string next(std::stop_token const& stop);

    std::uint64_t members() const noexcept { return members_; }
    std::uint64_t rehashed() const noexcept { return rehashed_; }
    std::uint64_t bytes_stored() const noexcept { return bytes_stored_; }
    std::uint64_t bytes_read() const noexcept { return bytes_read_; }
    std::uint64_t bytes_to_read() const noexcept { return plan_.bytes_to_read; }

    /// After the end: the entries that are in the state now, with their hashes and what became of
    /// each step.
    plan finish(std::vector<problem>& errors, std::vector<problem>& notes);

private:
    void begin(std::size_t at);
    void tell(std::size_t at);
    void read(std::size_t at);
    bool read_small(std::size_t at, int file, struct stat const& before, bool last_try);
    bool begin_large(std::size_t at, descriptor file, struct stat const& before, int tries,
                     std::uint64_t limit);
    void pump();
    std::string_view next_piece();
    void end_large();
    void end_cut();
    bool cut_short();
    void compare_large();
    std::uint64_t known_prefix(std::size_t at) const;
    void begin_tail();
    bool same_as_before(std::size_t at, digest const& content) const;
    bool known(std::size_t at, digest const& content);
    void keep_content(std::size_t at);
    bool refer(std::size_t at, digest const& content);
    bool put_header(std::size_t at, entry const& as, std::vector<extent> const* map = nullptr);
    void put_whole(std::size_t at, digest const& content, std::string_view bytes);
    void lose(std::size_t at, int number, std::string const& why = {});
    void lose_large();
    void flag(std::size_t at, std::string const& why);
    std::string take_block();

    static constexpr std::uint64_t whole = ~std::uint64_t(0);
    struct large {
        large() noexcept {
        } // clang: the defaults are not known yet where optional<large> is declared
        std::size_t at = 0;
        descriptor file;
        struct stat before {};
        std::vector<extent> map; ///< dense: one part
        std::size_t part = 0;
        std::uint64_t done = 0; ///< of the size, holes included
        bool sparse = false;
        std::unique_ptr<tar_writer> nowhere; ///< takes a sparse file that is only compared
        bool comparing = false;              ///< the first pass of a check: hash only
        std::uint64_t prefix = 0;            ///< so much is only compared, the rest a tail; or 0
        bool ran_short = false;
        int failure = 0;
        std::uint64_t sound = 0;     ///< how far it could be read: zeros stand for what is behind
        std::uint64_t limit = whole; ///< only so much of it: the last pass came no further
        int cause = 0;               ///< why not (errno); 0: it ended there
        int cuts = 0;
        int tries = 0;
    };

    int source_;
    plan plan_;
    manifest const* base_;
    std::uint32_t archive_;
    std::size_t block_bytes_;
    tar_writer tar_;
    hasher hash_, tail_hash_;
    std::multimap<std::uint64_t, std::uint32_t> gone_; ///< by size: files of the base, by index
    std::vector<bool> dropped_;
    std::map<std::string, std::string>
        leaders_;                    ///< a leader that is gone -> the link that took its place
    std::unique_ptr<char[]> buffer_; ///< one byte more than a small file
    std::optional<large> large_;
    std::size_t at_ = 0;
    bool ended_ = false;
    std::uint64_t taken_ = 0; ///< bytes of the stream that were given away
    std::uint64_t members_ = 0, bytes_stored_ = 0, bytes_read_ = 0, rehashed_ = 0;
    std::vector<problem> errors_, notes_;
};

} // namespace trawl::backup::detail
