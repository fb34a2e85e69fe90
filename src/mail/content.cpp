#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include "mail/address.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trawl::mime {
namespace {

class string_source : public source {
public:
    explicit string_source(std::shared_ptr<std::string const> bytes) : bytes_(std::move(bytes)) {}
    std::size_t read(std::span<char> block) override {
        auto const size = bytes_ ? std::min(block.size(), bytes_->size() - at_) : 0;
        if (size > 0) std::memcpy(block.data(), bytes_->data() + at_, size);
        at_ += size;
        return size;
    }
    std::optional<std::uint64_t> size() const override { return bytes_ ? bytes_->size() : 0; }
    std::optional<std::string_view> view() const override {
        return bytes_ ? std::string_view(*bytes_) : std::string_view();
    }

private:
    std::shared_ptr<std::string const> bytes_;
    std::size_t at_ = 0;
};

/// What tells a file from the same file after somebody wrote to it.
struct state_of_file {
    std::uint64_t size = 0;
    std::int64_t seconds = 0, nanoseconds = 0;
    friend bool operator==(state_of_file const&, state_of_file const&) = default;
};

std::string name_of(std::filesystem::path const& path) {
    return fmt::format("attachment {}", detail::shown(path.native()));
}

class file_source : public source {
public:
    explicit file_source(std::filesystem::path path)
        : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
        struct stat found {};
        if (descriptor_ >= 0 && ::fstat(descriptor_, &found) == 0) {
            if (S_ISDIR(found.st_mode))
                errno = EISDIR;
            else {
                regular_ = S_ISREG(found.st_mode);
                state_ = {static_cast<std::uint64_t>(found.st_size), found.st_mtim.tv_sec,
                          found.st_mtim.tv_nsec};
                return;
            }
        }
        error const failure(std::error_code(errno, std::system_category()), name_of(path_));
        if (descriptor_ >= 0) ::close(descriptor_);
        throw failure;
    }
    file_source(file_source const&) = delete;
    file_source& operator=(file_source const&) = delete;
    ~file_source() override { ::close(descriptor_); }

    std::size_t read(std::span<char> block) override {
        std::size_t filled = 0;
        while (filled < block.size()) {
            auto const size = ::read(descriptor_, block.data() + filled, block.size() - filled);
            if (size == 0) break;
            if (size > 0)
                filled += static_cast<std::size_t>(size);
            else if (errno != EINTR)
                throw error(std::error_code(errno, std::system_category()), name_of(path_));
        }
        return filled;
    }
    std::optional<std::uint64_t> size() const override {
        return regular_ ? std::optional(state_.size) : std::nullopt;
    }
    bool regular() const noexcept { return regular_; }
    state_of_file const& state() const noexcept { return state_; }

private:
    std::filesystem::path path_;
    int descriptor_;
    bool regular_ = false;
    state_of_file state_;
};

} // namespace

content::content(std::string bytes)
    : held_(std::make_shared<std::string const>(std::move(bytes))), size_(held_->size()) {}
content::content(char const* bytes) : content(std::string(bytes)) {}

content content::file(std::filesystem::path const& path) {
    file_source first(path);
    if (!first.regular()) return read_all(first);
    auto open = [path, then = first.state()]() -> std::unique_ptr<source> {
        auto again = std::make_unique<file_source>(path);
        if (again->state() != then) throw error(errc::changed, name_of(path));
        return again;
    };
    return stream(std::move(open), first.size());
}

content content::stream(opener open, std::optional<std::uint64_t> size) {
    content made;
    made.open_ = std::move(open);
    made.size_ = size;
    return made;
}

std::unique_ptr<source> content::open() const {
    if (open_) return open_();
    return std::make_unique<string_source>(held_);
}

std::optional<std::string_view> content::view() const noexcept {
    if (open_) return std::nullopt;
    return held_ ? std::string_view(*held_) : std::string_view();
}

std::string content::bytes() const {
    if (auto const held = view()) return std::string(*held);
    return read_all(*open());
}

std::string read_all(source& from) {
    std::string all;
    constexpr std::size_t block = 65536;
    if (auto const size = from.size()) all.reserve(*size + 1);
    for (;;) {
        auto const before = all.size();
        all.resize(std::max(before + block, all.capacity()));
        auto const wanted = all.size() - before;
        auto const size = from.read({all.data() + before, wanted});
        all.resize(before + size);
        if (size < wanted) return all;
    }
}

} // namespace trawl::mime
