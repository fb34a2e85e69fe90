#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trawl::mime {

/// Bytes that come in blocks, once, from begin to end. Reading may block in the kernel (files), so
/// that a loop with other work reads them on a pool or in small blocks.
class source {
public:
    virtual ~source() = default;
    /// Fills `block` and returns how much of it: less than all, also 0, at the end only. Throws
    /// error when the bytes cannot be had; what follows is then not defined.
    virtual std::size_t read(std::span<char> block) = 0;
    /// All bytes from the begin; nullopt when only reading tells.
    virtual std::optional<std::uint64_t> size() const { return std::nullopt; }
    /// All bytes from the begin, if they are in memory, whatever has been read; valid as long as this
    /// object. Saves who wants them all a copy.
    virtual std::optional<std::string_view> view() const { return std::nullopt; }
};

/// What is in a part: bytes in memory, a file, or what somebody else opens. A cheap value: copies
/// share what cannot change.
class content {
public:
    /// Begins a pass over the bytes.
    using opener = std::function<std::unique_ptr<source>()>;

    content() = default;
    /// These bytes; implicit: a string is a content.
    content(std::string bytes);
    /// The bytes up to a NUL.
    content(char const* bytes);

    /// The file at `path`. A regular file is read when the message is, a block at a time; when its
    /// size or time of change is another one by then, reading throws errc::changed. Anything else
    /// (a pipe, /dev/stdin) is read now, into memory. Throws error with the system's code when the
    /// file cannot be read.
    static content file(std::filesystem::path const& path);
    /// Bytes that `open` gives, each time the same: a message may be read more than once (a
    /// signature, a connection that was lost). Reading throws errc::changed when they are not `size`
    /// bytes.
    static content stream(opener open, std::optional<std::uint64_t> size = std::nullopt);

    /// Bytes in all; nullopt for a stream that did not tell.
    std::optional<std::uint64_t> size() const noexcept { return size_; }
    /// A pass over the bytes. Throws as reading does.
    std::unique_ptr<source> open() const;
    /// The bytes if they are in memory, valid as long as this object; else nullopt.
    std::optional<std::string_view> view() const noexcept;
    /// All bytes. Throws as reading does.
    std::string bytes() const;

private:
    std::shared_ptr<std::string const> held_;
    opener open_;
    std::optional<std::uint64_t> size_ = 0;
};

/// Everything that is left of `from`. Throws as reading does.
std::string read_all(source& from);

} // namespace trawl::mime
