#include <trawl/ssh.hpp>

#include <cerrno>
#include <memory>
#include <unistd.h>

namespace trawl::ssh {
namespace {

constexpr std::size_t piece_size = 128 * 1024;

std::string read_piece(int file, off_t at) {
    std::string piece(piece_size, '\0');
    ssize_t got = 0;
    do got = ::pread(file, piece.data(), piece.size(), at);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        throw error(std::error_code(errno, std::generic_category()), "read a command's input");
    piece.resize(static_cast<std::size_t>(got));
    return piece;
}

awaitable<std::string> next_piece(int file, offload_pool& blocking, std::shared_ptr<off_t> at) {
    auto work = [file, from = *at] { return read_piece(file, from); };
    auto piece = co_await blocking.run(std::move(work));
    *at += static_cast<off_t>(piece.size());
    co_return piece;
}

} // namespace

input_source file_input(int descriptor, offload_pool& blocking, std::uint64_t from) {
    return [descriptor, &blocking, at = std::make_shared<off_t>(static_cast<off_t>(from))] {
        return next_piece(descriptor, blocking, at);
    };
}

} // namespace trawl::ssh
