#include <trawl/sftp_file.hpp>

#include "ssh/sftp_download.hpp"
#include "ssh/sftp_upload.hpp"

#include <algorithm>
#include <string_view>

namespace trawl::sftp {

using namespace detail;

struct file::state {
    state(link_ptr link, std::string of, remote_handle opened)
        : all(std::make_shared<transfer>(std::move(link), transfer_options())), path(std::move(of)),
          handle(std::move(opened)) {}

    transfer_ptr all;
    std::string path;
    remote_handle handle;
    std::uint64_t size = 0;
};

file::file(std::unique_ptr<state> opened) : state_(std::move(opened)) {}
file::file(file&&) noexcept = default;
file& file::operator=(file&&) noexcept = default;
file::~file() = default;

std::uint64_t file::size() const noexcept { return state_->size; }

awaitable<std::string> file::read(std::uint64_t offset, std::size_t most) {
    auto& s = *state_;
    std::string bytes;
    if (offset >= s.size) co_return bytes;
    bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(most, s.size - offset)));
    if (bytes.empty()) co_return bytes;
    download all(s.all, s.all->link->budget(), s.path, s.handle.name(), offset,
                 offset + bytes.size());
    while (!all.ended()) {
        auto const come = co_await all.next();
        for (auto const& piece : come) {
            auto const data = piece.data();
            std::copy(data.begin(), data.end(),
                      bytes.begin() + static_cast<std::ptrdiff_t>(piece.offset - offset));
        }
    }
    co_return bytes;
}

awaitable<> file::write(std::uint64_t offset, std::string bytes) {
    auto& s = *state_;
    upload sending(s.all, s.path);
    for (std::size_t at = 0; at < bytes.size();) {
        auto place = co_await sending.room();
        auto const piece = std::string_view(bytes).substr(at, s.all->link->write_size());
        sending.write(s.handle.name(), offset + at, piece, std::move(place));
        at += piece.size();
        co_await yield(); // what is encrypted in one turn holds the loop
    }
    co_await sending.finish();
}

awaitable<> file::sync() {
    constexpr auto syncing = "fsync@openssh.com";
    auto& s = *state_;
    if (!s.all->link->supports(syncing)) co_return;
    auto request = s.all->link->extension(syncing);
    request.text(s.handle.name());
    co_await simple(s.all->link, std::move(request), "fsync", s.path);
}

awaitable<file> open_to_read(client& of, std::string path) {
    auto const link = client_access::link(of);
    attributes const nothing;
    auto handle = co_await open_file(link, path, open_read, nothing);
    auto const facts = co_await stat_handle(link, handle.name(), path);
    auto opened = std::make_unique<file::state>(link, path, std::move(handle));
    opened->size = facts.size.value_or(0);
    co_return file(std::move(opened));
}

awaitable<file> create_new(client& of, std::string path, std::uint32_t permissions) {
    auto const link = client_access::link(of);
    attributes initial;
    initial.permissions = permissions;
    std::uint32_t const flags = open_write | open_create | open_exclusive;
    auto handle = co_await open_file(link, path, flags, initial);
    co_return file(std::make_unique<file::state>(link, path, std::move(handle)));
}

} // namespace trawl::sftp
