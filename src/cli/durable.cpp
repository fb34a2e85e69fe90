#include "cli/durable.hpp"

#include <trawl/error.hpp>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

namespace trawl::cli {

void fail(std::string const& where) { throw error({errno, std::generic_category()}, where); }

void write_all(int file, std::string_view bytes, std::string const& where) {
    while (!bytes.empty()) {
        auto const written = ::write(file, bytes.data(), bytes.size());
        if (written >= 0)
            bytes.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            fail("write to " + where);
    }
}

void sync(int file, std::string const& where) {
    if (::fsync(file) != 0) fail("fsync " + where);
}

void put_in_place(std::filesystem::path const& from, std::filesystem::path const& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0)
        fail("rename " + from.string() + " to " + to.string());
    auto const parent = to.parent_path().empty() ? "." : to.parent_path();
    descriptor const folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) fail("open " + parent.string());
    // Some network file systems have no fsync for folders.
    if (::fsync(folder.get()) != 0 && errno != EINVAL && errno != EOPNOTSUPP)
        fail("fsync " + parent.string());
}

void replace(std::filesystem::path const& file, std::string_view bytes) {
    auto fresh = file;
    fresh += ".new";
    descriptor const out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (out.get() < 0) fail("open " + fresh.string());
    write_all(out.get(), bytes, fresh.string());
    sync(out.get(), fresh.string());
    put_in_place(fresh, file);
}

} // namespace trawl::cli
