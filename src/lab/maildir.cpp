#include "lab/maildir.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <utility>

namespace trawl::lab {
namespace {

constexpr std::size_t buffered = 64 * 1024;

[[noreturn]] void throw_errno() { throw std::system_error(errno, std::generic_category()); }

// TIME.UNIQUE.HOST, as maildir(5) asks; the suffix makes mail programs open it with a click.
std::string unique_name() {
    static std::atomic<std::uint64_t> deliveries{0};
    auto const now = std::chrono::system_clock::now().time_since_epoch();
    auto const micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    return fmt::format("{}.M{:06}P{}Q{}.lab.eml", micros / 1'000'000, micros % 1'000'000,
                       ::getpid(), ++deliveries);
}

} // namespace

void make_maildir(std::filesystem::path const& root) {
    for (auto const& folder : {root, root / "cur", root / "new", root / "tmp"})
        if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) throw_errno();
}

void maildir_writer::begin(envelope const& from_and_to) {
    name_ = unique_name();
    auto const path = root_ / "tmp" / name_;
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file_ < 0) {
        name_.clear(); // there is nothing to abandon
        throw_errno();
    }
    buffer_ = fmt::format("X-Envelope-From: <{}>\r\n", from_and_to.from);
    for (auto const& to : from_and_to.to) buffer_ += fmt::format("X-Envelope-To: <{}>\r\n", to);
}

void maildir_writer::append(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= buffered) flush();
}

void maildir_writer::flush() {
    for (std::string_view left = buffer_; !left.empty();) {
        auto const written = ::write(file_, left.data(), left.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw_errno();
        left.remove_prefix(static_cast<std::size_t>(written));
    }
    buffer_.clear();
}

std::string maildir_writer::commit() {
    flush();
    if (::close(std::exchange(file_, -1)) != 0) throw_errno();
    std::filesystem::rename(root_ / "tmp" / name_, root_ / "new" / name_);
    return std::exchange(name_, {});
}

void maildir_writer::abandon() noexcept {
    if (file_ >= 0) ::close(std::exchange(file_, -1));
    if (!name_.empty()) ::unlink((root_ / "tmp" / name_).c_str());
    name_.clear();
    buffer_.clear();
}

} // namespace trawl::lab
