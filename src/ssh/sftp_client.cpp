#include "ssh/sftp_file.hpp"
#include "ssh/sftp_transfer.hpp"

#include <algorithm>
#include <fnmatch.h>
#include <random>

namespace trawl::sftp {
namespace detail {

awaitable<remote_handle> open_file(link_ptr link, std::string path, std::uint32_t flags,
                                   attributes initial) {
    auto request = link->request(packet::open);
    request.text(path).u32(flags).attrs(initial);
    auto const answer = co_await link->call(request);
    auto handle = link->expect(parse_handle(answer), answer, "open", path);
    co_return remote_handle(link, std::move(handle));
}

awaitable<attributes> stat_handle(link_ptr link, std::string handle, std::string path) {
    auto request = link->request(packet::fstat);
    request.text(handle);
    auto const answer = co_await link->call(request);
    co_return link->expect(parse_attributes(answer), answer, "stat", path);
}

awaitable<attributes> stat_path(link_ptr link, packet kind, std::string path) {
    auto request = link->request(kind);
    request.text(path);
    auto const answer = co_await link->call(request);
    co_return link->expect(parse_attributes(answer), answer, "stat", path);
}

awaitable<> simple(link_ptr link, packet_writer request, std::string operation, std::string path) {
    auto const answer = co_await link->call(request);
    link->expect_ok(answer, operation, path);
}

awaitable<> rename_path(link_ptr link, std::string from, std::string to) {
    constexpr auto replacing = "posix-rename@openssh.com";
    auto request =
        link->supports(replacing) ? link->extension(replacing) : link->request(packet::rename);
    request.text(from).text(to);
    return simple(link, std::move(request), "rename", std::move(to));
}

awaitable<> set_path(link_ptr link, std::string path, attributes wanted) {
    auto request = link->request(packet::setstat);
    request.text(path).attrs(wanted);
    return simple(link, std::move(request), "set attributes of", std::move(path));
}

awaitable<> make_folder(link_ptr link, std::string path, std::uint32_t permissions) {
    attributes initial;
    initial.permissions = permissions;
    auto request = link->request(packet::mkdir);
    request.text(path).attrs(initial);
    return simple(link, std::move(request), "mkdir", std::move(path));
}

awaitable<> each_entry(link_ptr link, std::string path, std::function<void(entry)> take) {
    auto opening = link->request(packet::opendir);
    opening.text(path);
    auto answer = co_await link->call(opening);
    auto name = link->expect(parse_handle(answer), answer, "list", path);
    remote_handle const folder(link, std::move(name));
    for (std::size_t count = 0;;) {
        auto reading = link->request(packet::readdir);
        reading.text(folder.name());
        answer = co_await link->call(reading);
        auto const end = parse_status(answer);
        if (end && end->code == static_cast<std::uint32_t>(errc::end_of_file)) co_return;
        auto names = link->expect(parse_names(answer), answer, "list", path);
        for (auto& next : names) {
            if (next.name == "." || next.name == "..") continue;
            if (!safe_name(next.name)) throw link->failed(errc::unsafe_name, "list", path);
            if (path.size() + 1 + next.name.size() > longest_path)
                throw link->failed(errc::limit, "list", path, "a path that is too long");
            if (++count > link->how().max_entries)
                throw link->failed(errc::limit, "list", path, "too many files");
            take(std::move(next));
        }
    }
}

awaitable<std::vector<entry>> list_folder(link_ptr link, std::string path) {
    std::vector<entry> found;
    auto const keep = [&found](entry next) { found.push_back(std::move(next)); };
    co_await each_entry(std::move(link), std::move(path), keep);
    co_return found;
}

awaitable<> ensure_remote_folder(link_ptr link, std::string path, std::uint32_t permissions) {
    std::optional<failure> refused;
    try {
        co_await make_folder(link, path, (permissions & 0777) | 0700);
    } catch (failure const& thrown) {
        refused = thrown;
    }
    if (!refused) co_return;
    bool there = false;
    try {
        auto const seen = co_await stat_path(link, packet::stat, path);
        there = seen.is_folder();
    } catch (failure const&) {
        // The first answer says more.
    }
    if (!there) throw *refused;
}

awaitable<attributes> target_of(link_ptr link, std::string path) {
    attributes found;
    try {
        found = co_await stat_path(link, packet::stat, std::move(path));
    } catch (failure const& missing) {
        if (missing.code() != errc::no_such_file && missing.code() != errc::permission_denied &&
            missing.code() != errc::failure)
            throw;
    }
    co_return found;
}

std::string below(std::string const& folder, std::string const& path) {
    return path.empty() ? folder : joined(folder, path);
}

std::string joined(std::string const& folder, std::string_view name) {
    auto path = folder;
    if (!path.empty() && path.back() != '/') path += '/';
    return path.append(name);
}

std::string temporary_name(std::string_view path, bool to_resume) {
    constexpr std::string_view letters = "0123456789abcdefghijklmnopqrstuvwxyz";
    constexpr std::size_t longest = 200; // of 255 bytes that file systems allow
    auto const at = path.rfind('/') + 1; // npos + 1 is 0
    std::string made(path.substr(0, at));
    made += '.';
    made += path.substr(at, longest);
    made += ".trawl-";
    if (to_resume) return made + "part";
    static thread_local std::minstd_rand chance{std::random_device{}()};
    std::uniform_int_distribution<std::size_t> any(0, letters.size() - 1);
    for (int i = 0; i < 8; ++i) made += letters[any(chance)];
    return made;
}

namespace {

bool is_pattern(std::string_view part) {
    return part.find_first_of("*?[") != std::string_view::npos;
}

/// What of `folder` matches `part`, as paths that begin with `prefix`.
awaitable<std::vector<std::string>> matches(link_ptr link, std::string prefix, std::string part,
                                            bool folders_only) {
    std::vector<std::string> found;
    std::string const folder = prefix.empty() ? "." : prefix;
    auto const keep = [&](entry next) {
        if (::fnmatch(part.c_str(), next.name.c_str(), FNM_PERIOD) == 0 &&
            (!folders_only || next.attrs.is_folder() || next.attrs.is_symlink()))
            found.push_back(joined(prefix, next.name));
    };
    try {
        co_await each_entry(link, folder, keep);
    } catch (failure const& unreadable) {
        // A pattern asks what can be seen; what is no folder has nothing in it.
        if (unreadable.code() == trawl::errc::timed_out || unreadable.code() == errc::protocol ||
            unreadable.code() == errc::unsafe_name || unreadable.code() == errc::limit)
            throw;
    }
    co_return found;
}

awaitable<std::vector<std::string>> expand(link_ptr link, std::string pattern) {
    std::vector<std::string> found{pattern.starts_with('/') ? "/" : ""};
    std::string_view rest = pattern;
    bool guessed = false; // a part after a pattern that need not exist
    while (!rest.empty()) {
        rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
        std::string const part(rest.substr(0, rest.find('/')));
        rest.remove_prefix(part.size());
        if (part.empty()) break;
        std::vector<std::string> next;
        for (auto const& prefix : found) {
            if (!is_pattern(part)) {
                next.push_back(joined(prefix, part));
                continue;
            }
            auto const more = co_await matches(link, prefix, part, !rest.empty());
            next.insert(next.end(), more.begin(), more.end());
            if (next.size() > link->how().max_entries)
                throw link->failed(errc::limit, "glob", pattern, "too many files");
        }
        guessed = !is_pattern(part) && is_pattern(pattern);
        found = std::move(next);
    }
    if (guessed) {
        std::vector<std::string> there;
        for (auto const& path : found) {
            try {
                co_await stat_path(link, packet::lstat, path);
                there.push_back(path);
            } catch (failure const& missing) {
                if (missing.code() != errc::no_such_file &&
                    missing.code() != errc::permission_denied && missing.code() != errc::failure)
                    throw;
            }
        }
        found = std::move(there);
    }
    std::sort(found.begin(), found.end());
    co_return found;
}

/// The one name of the answer to READLINK and REALPATH (§6.10, §6.11).
awaitable<std::string> one_name(link_ptr link, packet kind, std::string operation,
                                std::string path) {
    auto request = link->request(kind);
    request.text(path);
    auto const answer = co_await link->call(request);
    auto names = link->expect(parse_names(answer), answer, operation, path);
    if (names.size() != 1) throw link->failed(errc::protocol, operation, path, "not one name");
    co_return std::move(names.front().name);
}

awaitable<file_system> look_at_file_system(link_ptr link, std::string path) {
    auto request = link->extension("statvfs@openssh.com");
    request.text(path);
    auto const answer = co_await link->call(request);
    co_return link->expect(parse_file_system(answer), answer, "statvfs", path);
}

} // namespace
} // namespace detail

using detail::packet;

namespace detail {

awaitable<client> client_access::start(std::unique_ptr<ssh::detail::byte_stream> stream,
                                       options how) {
    auto link = std::make_shared<connection>(std::move(stream), std::move(how));
    co_await link->handshake();
    co_return client(std::move(link));
}

awaitable<client> start_client(std::unique_ptr<ssh::detail::byte_stream> stream, options how) {
    return client_access::start(std::move(stream), std::move(how));
}

} // namespace detail

awaitable<client> open(ssh::session& on) { return open(on, options()); }

awaitable<client> open(ssh::session& on, options how) {
    auto stream = co_await ssh::detail::open_subsystem(on, "sftp");
    co_return co_await detail::client_access::start(std::move(stream), std::move(how));
}

client::client(std::shared_ptr<detail::connection> link) : link_(std::move(link)) {}
client::client(client&&) noexcept = default;
client& client::operator=(client&&) noexcept = default;
client::~client() = default;

bool client::supports(std::string_view extension) const { return link_->supports(extension); }

awaitable<attributes> client::stat(std::string path) {
    return detail::stat_path(link_, packet::stat, std::move(path));
}

awaitable<attributes> client::lstat(std::string path) {
    return detail::stat_path(link_, packet::lstat, std::move(path));
}

awaitable<> client::set_attributes(std::string path, attributes wanted) {
    return detail::set_path(link_, std::move(path), wanted);
}

awaitable<std::vector<entry>> client::listdir(std::string path) {
    return detail::list_folder(link_, std::move(path));
}

awaitable<> client::mkdir(std::string path, std::uint32_t permissions) {
    return detail::make_folder(link_, std::move(path), permissions);
}

awaitable<> client::rmdir(std::string path) {
    auto request = link_->request(packet::rmdir);
    request.text(path);
    return detail::simple(link_, std::move(request), "rmdir", std::move(path));
}

awaitable<> client::remove(std::string path) {
    auto request = link_->request(packet::remove);
    request.text(path);
    return detail::simple(link_, std::move(request), "remove", std::move(path));
}

awaitable<> client::rename(std::string from, std::string to) {
    return detail::rename_path(link_, std::move(from), std::move(to));
}

awaitable<> client::symlink(std::string target, std::string link) {
    // OpenSSH's server has the arguments the other way round than §6.10, and all others follow it
    // (its PROTOCOL, 4.1).
    auto request = link_->request(packet::symlink);
    request.text(target).text(link);
    return detail::simple(link_, std::move(request), "symlink", std::move(link));
}

awaitable<> client::hardlink(std::string existing, std::string link) {
    auto request = link_->extension("hardlink@openssh.com");
    request.text(existing).text(link);
    return detail::simple(link_, std::move(request), "hardlink", std::move(link));
}

awaitable<std::string> client::readlink(std::string path) {
    return detail::one_name(link_, packet::readlink, "readlink", std::move(path));
}

awaitable<std::string> client::realpath(std::string path) {
    return detail::one_name(link_, packet::realpath, "realpath", std::move(path));
}

awaitable<file_system> client::statvfs(std::string path) {
    return detail::look_at_file_system(link_, std::move(path));
}

awaitable<std::vector<std::string>> client::glob(std::string pattern) {
    return detail::expand(link_, std::move(pattern));
}

awaitable<transferred> client::put(std::filesystem::path local, std::string remote) {
    return put(std::move(local), std::move(remote), transfer_options());
}

awaitable<transferred> client::put(std::filesystem::path local, std::string remote,
                                   transfer_options how) {
    return detail::put(link_, std::move(local), std::move(remote), std::move(how));
}

awaitable<transferred> client::get(std::string remote, std::filesystem::path local) {
    return get(std::move(remote), std::move(local), transfer_options());
}

awaitable<transferred> client::get(std::string remote, std::filesystem::path local,
                                   transfer_options how) {
    return detail::get(link_, std::move(remote), std::move(local), std::move(how));
}

} // namespace trawl::sftp
