#pragma once

#include "ssh/sftp_connection.hpp"

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace trawl::sftp::detail {

using link_ptr = std::shared_ptr<connection>;

/// A file or folder that the server holds open for us; closed with this object, without waiting.
class remote_handle {
public:
    remote_handle(link_ptr link, std::string handle)
        : link_(std::move(link)), handle_(std::move(handle)) {}
    remote_handle(remote_handle&&) noexcept = default;
    remote_handle& operator=(remote_handle&&) = delete;
    ~remote_handle() { close(); }

    std::string const& name() const noexcept { return handle_; }

    /// Sends the close behind what was sent before; the server keeps the order (§7).
    void close() {
        if (!link_) return;
        link_->start_and_forget(link_->request(packet::close).text(handle_));
        link_.reset();
    }
    /// The same, for who wants to know how it ended.
    connection::flight start_close() {
        auto const link = std::exchange(link_, nullptr);
        return link->start(link->request(packet::close).text(handle_));
    }

private:
    link_ptr link_;
    std::string handle_;
};

awaitable<remote_handle> open_file(link_ptr link, std::string path, std::uint32_t flags,
                                   attributes initial);

/// Of an open file.
awaitable<attributes> stat_handle(link_ptr link, std::string handle, std::string path);

// One request each; failures name `path`.
awaitable<attributes> stat_path(link_ptr link, packet kind, std::string path);
awaitable<> simple(link_ptr link, packet_writer request, std::string operation, std::string path);
awaitable<> rename_path(link_ptr link, std::string from, std::string to);
awaitable<> set_path(link_ptr link, std::string path, attributes wanted);
awaitable<> make_folder(link_ptr link, std::string path, std::uint32_t permissions);
awaitable<std::vector<entry>> list_folder(link_ptr link, std::string path);
/// The same without keeping them: `take` is called with each.
awaitable<> each_entry(link_ptr link, std::string path, std::function<void(entry)> take);

/// Makes a folder; an existing one is as good as a new one.
awaitable<> ensure_remote_folder(link_ptr link, std::string path, std::uint32_t permissions);

/// What a link points to: nothing that could be copied when it leads nowhere.
awaitable<attributes> target_of(link_ptr link, std::string path);

/// `folder` and `name` with a '/' between them where one is wanted.
std::string joined(std::string const& folder, std::string_view name);
/// The same for a path in `folder`; empty for the folder itself.
std::string below(std::string const& folder, std::string const& path);

/// The name under which a file is written until it is whole: in the same folder, hidden, with an
/// end of its own (or one that a later transfer finds again).
std::string temporary_name(std::string_view path, bool to_resume);

} // namespace trawl::sftp::detail
