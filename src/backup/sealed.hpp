#pragma once

#include <trawl/backup_store.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trawl::backup::detail {

// A file in blocks of authenticated encryption, without I/O: the STREAM construction (Hoang,
// Reyhanitabar, Rogaway, Vizar 2015) in the shape that age has it.
//
//     "trawlbk1" | key id, 8 | salt, 16 | block 0 | block 1 | ... | last block
//                                         '- 65,536 bytes, sealed, and a tag of 16 -'
//
//     block key  HKDF-SHA256(key, salt, "trawl backup block key")      RFC 5869
//     key id     HKDF-SHA256(key, "trawlbk1", "trawl backup key id")
//     nonce      number of the block, 11 bytes, big endian | 1 for the last block, else 0
//     block      AES-256-GCM(block key, nonce, plain, additional data: the 32 bytes of the head)
//
// Each file has a key of its own, by its salt, and each block its nonce. A block that is changed,
// swapped, repeated or comes from another file does not open; neither does the last one of a file
// that was cut or grew. Any block can be opened alone. An empty file has one empty block.

inline constexpr std::size_t sealed_head = 32, sealed_tag = 16;
inline constexpr std::size_t sealed_plain = std::size_t(64) << 10; ///< of every block but the last
inline constexpr std::size_t sealed_block = sealed_plain + sealed_tag;

/// What the length of a sealed file tells.
struct sealed_length {
    std::uint64_t blocks = 0; ///< one at least
    std::uint64_t plain = 0;  ///< bytes in all of them

    /// nullopt: no sealed file has so many bytes, it was cut.
    static std::optional<sealed_length> of(std::uint64_t bytes) noexcept;
};

/// The first bytes of a file, fewer where it ends.
std::string head_of(stored_file const& file);
/// True when this is the beginning of a sealed file.
bool is_sealed(std::string_view bytes) noexcept;

/// Seals one file, front to back. One thread at a time.
class sealer {
public:
    /// With a salt of its own from the system.
    explicit sealer(store_key const& key);
    sealer(store_key const& key, std::span<unsigned char const, 16> salt); ///< for known answers
    sealer(sealer&&) noexcept;
    ~sealer();

    std::string const& head() const noexcept { return head_; }
    /// The next block: sealed_plain bytes, or up to so many as the last one.
    std::string seal(std::string_view plain, bool last);

private:
    struct state;
    std::string head_;
    std::uint64_t number_ = 0;
    std::unique_ptr<state> state_;
};

/// Opens the blocks of one file in any order; from several threads.
class opener {
public:
    enum class verdict {
        good,
        not_sealed, ///< too short, or another kind of file
        other_key,  ///< sealed with another key, or the head is damaged
    };
    static verdict look_at(store_key const& key, std::string_view head) noexcept;

    /// `head` is good.
    opener(store_key const& key, std::string_view head);
    ~opener();

    /// The content of a block; nullopt when it is not what was sealed at this place.
    std::optional<std::string> open(std::uint64_t number, bool last, std::string_view block) const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::backup::detail
