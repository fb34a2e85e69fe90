#include <trawl/error.hpp>
#include <trawl/ssh_config.hpp>

#include <cerrno>
#include <fstream>
#include <glob.h>
#include <iterator>

namespace trawl::ssh {
namespace {

constexpr std::size_t largest_file = 16u << 20;

std::string read_whole(std::string const& name) {
    errno = 0;
    std::ifstream in(name, std::ios::binary);
    std::string text;
    for (char piece[4096]; in && text.size() < largest_file;) {
        in.read(piece, sizeof piece);
        text.append(piece, static_cast<std::size_t>(in.gcount()));
    }
    if (in.bad() || (!in.eof() && text.size() < largest_file))
        throw error(std::error_code(errno ? errno : EIO, std::generic_category()),
                    "ssh config " + name);
    return text;
}

std::vector<config::file> read_matching(std::string const& pattern) {
    std::vector<config::file> found;
    glob_t names{};
    if (::glob(pattern.c_str(), 0, nullptr, &names) == 0)
        for (std::size_t i = 0; i < names.gl_pathc; ++i)
            found.push_back({names.gl_pathv[i], read_whole(names.gl_pathv[i])});
    ::globfree(&names);
    return found;
}

} // namespace

config load_config(std::vector<std::filesystem::path> const& files, config::local here,
                   std::vector<std::string> const& before) {
    auto const folder = std::filesystem::path(here.home) / ".ssh";
    config all(std::move(here));
    auto const find = [&](std::string const& pattern) {
        return read_matching((folder / pattern).string()); // an absolute pattern stays as it is
    };
    for (auto const& line : before) all.parse({"-o " + line, line}, find);
    for (auto const& file : files) {
        std::error_code unknown;
        if (!std::filesystem::exists(file, unknown)) continue;
        all.parse({file.string(), read_whole(file.string())}, find);
    }
    return all;
}

} // namespace trawl::ssh
