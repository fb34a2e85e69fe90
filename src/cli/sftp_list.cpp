#include "cli/sftp_list.hpp"

#include "cli/environment.hpp"
#include "json/record.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace trawl::cli {
namespace {

char const* kind_of(sftp::attributes const& of) {
    if (of.is_regular()) return "file";
    if (of.is_folder()) return "folder";
    return of.is_symlink() ? "link" : "other";
}

boost::json::value or_null(auto const& number) {
    return number ? boost::json::value(*number) : boost::json::value(nullptr);
}

/// Tells of the files of one host.
class list_writer {
public:
    list_writer(sftp_round& all, std::string host) : all_(all), host_(std::move(host)) {}

    void show(std::string const& path, sftp::attributes const& of) const {
        if (all_.here.words().json)
            all_.here.out().record(record_of(path, of));
        else if (all_.words.details)
            all_.here.out().line(details_of(of) + host_ + ":" + on_one_line(path));
        else
            all_.here.out().line(host_ + ":" + on_one_line(path));
    }

private:
    json::record record_of(std::string const& path, sftp::attributes const& of) const {
        auto told = json::record("file", "sftp");
        told.field("target", host_).field("path", path).field("kind", kind_of(of));
        told.field("size", or_null(of.size));
        boost::json::value mode, owner, group, modified;
        if (of.permissions) mode = fmt::format("{:04o}", *of.permissions & 07777);
        if (of.owner) owner = of.owner->user, group = of.owner->group;
        if (of.times)
            modified = json::time(std::chrono::system_clock::from_time_t(of.times->modification));
        return told.field("mode", mode)
            .field("owner", owner)
            .field("group", group)
            .field("modified", modified);
    }

    static std::string details_of(sftp::attributes const& of) {
        auto const text = [](auto const& known) {
            return known ? fmt::format("{}", *known) : std::string("?");
        };
        std::optional<std::uint32_t> user, group;
        if (of.owner) user = of.owner->user, group = of.owner->group;
        std::string when = "?";
        if (of.times) when = fmt::format("{:%FT%TZ}", fmt::gmtime(of.times->modification));
        auto const mode = of.permissions ? mode_text(*of.permissions) : "??????????";
        return fmt::format("{} {:>5} {:>5} {:>12} {:>20} ", mode, text(user), text(group),
                           text(of.size), when);
    }

    sftp_round& all_;
    std::string host_;
};

/// What is at `path`; of a link to a folder, that folder.
awaitable<sftp::attributes> look_at(sftp::client& host, std::string path) {
    auto seen = co_await host.lstat(path);
    if (!seen.is_symlink()) co_return seen;
    try {
        auto const there = co_await host.stat(path);
        if (there.is_folder()) seen = there;
    } catch (sftp::failure const& nowhere) {
        if (nowhere.code() != sftp::errc::no_such_file) throw;
    }
    co_return seen;
}

awaitable<> list(sftp::client& host, sftp_copy how, std::vector<std::string> remote,
                 list_writer to) {
    sftp::transferred seen;
    for (auto& pattern : remote) {
        if (pattern.empty()) pattern = ".";
        auto const paths = co_await found_files(host, pattern, "ls");
        for (auto const& path : paths) {
            auto const attrs = co_await look_at(host, path);
            std::vector<sftp::entry> inside;
            if (attrs.is_folder()) {
                inside = co_await host.listdir(path);
                std::sort(inside.begin(), inside.end(),
                          [](auto const& a, auto const& b) { return a.name < b.name; });
                auto const folder = path.ends_with('/') ? path : path + '/';
                for (auto const& next : inside) to.show(folder + next.name, next.attrs);
                seen.files += inside.size();
            } else {
                to.show(path, attrs);
                ++seen.files;
            }
            how.progress(seen);
        }
    }
}

} // namespace

std::string on_one_line(std::string_view name) {
    auto text = escaped(name);
    for (std::size_t at = 0; (at = text.find_first_of("\n\t", at)) != text.npos; at += 4)
        text.replace(at, 1, text[at] == '\n' ? "\\x0a" : "\\x09");
    return text;
}

std::string mode_text(std::uint32_t permissions) {
    std::string text = "?rwxrwxrwx";
    constexpr char kinds[] = "?pc?d?b?-?l?s???"; // S_IFMT >> 12
    text[0] = kinds[permissions >> 12 & 017];
    for (std::size_t bit = 0; bit < 9; ++bit)
        if (!(permissions >> (8 - bit) & 1)) text[bit + 1] = '-';
    auto const special = [&](std::uint32_t bit, std::size_t at, char mark) {
        if (permissions & bit)
            text[at] = text[at] == 'x' ? mark : static_cast<char>(mark - 'a' + 'A');
    };
    special(04000, 3, 's'), special(02000, 6, 's'), special(01000, 9, 't');
    return text;
}

sftp_work list_work(sftp_round& all, std::vector<std::string> remote) {
    return [&all, remote](sftp::client& files, sftp_copy how, targets::target at) {
        return list(files, std::move(how), remote, list_writer(all, at.to_string()));
    };
}

} // namespace trawl::cli
