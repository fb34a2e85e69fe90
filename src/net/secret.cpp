#include <trawl/net.hpp>

#include <openssl/crypto.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace trawl::net {

namespace {

// A buffer that leaves nothing on the stack.
struct scratch {
    std::array<char, max_secret + 3>
        bytes; // the longest line, CRLF, and one more to see that it is too long
    ~scratch() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
};

struct descriptor {
    int number;
    ~descriptor() {
        if (number >= 0) close(number);
    }
};

} // namespace

secret::secret(std::string&& text)
    : bytes_(std::make_unique<char[]>(text.size() + 1)), size_(text.size()) {
    std::memcpy(bytes_.get(), text.data(), size_);
    // A short string lies inside the object: overwrite what it may hold, then let go of it.
    text.resize(text.capacity());
    OPENSSL_cleanse(text.data(), text.size());
    text.clear();
}

secret& secret::operator=(secret&& other) noexcept {
    if (this != &other) {
        wipe();
        bytes_ = std::move(other.bytes_);
        size_ = std::exchange(other.size_, 0);
    }
    return *this;
}

secret::~secret() { wipe(); }

void secret::wipe() noexcept {
    if (bytes_) OPENSSL_cleanse(bytes_.get(), size_);
    size_ = 0;
}

secret read_secret_file(std::filesystem::path const& path) {
    auto const where = "secret file " + path.string();
    auto const fail = [&] { throw error({errno, std::system_category()}, where); };
    descriptor const file{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.number < 0) fail();

    scratch buffer;
    std::size_t filled = 0;
    char const* newline = nullptr;
    while (!newline && filled < buffer.bytes.size()) {
        auto const got =
            read(file.number, buffer.bytes.data() + filled, buffer.bytes.size() - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail();
        if (got == 0) break;
        newline = static_cast<char const*>(
            std::memchr(buffer.bytes.data() + filled, '\n', static_cast<std::size_t>(got)));
        filled += static_cast<std::size_t>(got);
    }
    auto length = newline ? static_cast<std::size_t>(newline - buffer.bytes.data()) : filled;
    if (newline && length > 0 && buffer.bytes[length - 1] == '\r') --length;
    if (length == 0) throw error(errc::empty_secret, where);
    if (length > max_secret) throw error(errc::secret_too_long, where);
    return secret(std::string(buffer.bytes.data(), length));
}

} // namespace trawl::net
