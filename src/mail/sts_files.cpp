#include "mail/sts_files.hpp"

#include "mail/private_files.hpp"
#include "mail/sts.hpp"

#include <trawl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

namespace trawl::smtp::detail {
namespace {

constexpr std::string_view ending = ".mta-sts", unfinished = ".trawl-sts-";
constexpr off_t most_bytes = most_policy_bytes + 1000;
/// A writer needs no longer for one policy.
constexpr std::int64_t leftover_age = 3600;
/// The folder is tidied up before the first of so many is written.
constexpr std::size_t between_sweeps = 1000;

std::string sum_of(std::string_view head, std::string_view text) {
    auto const add = [](uLong before, std::string_view bytes) {
        return ::crc32_z(before, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size());
    };
    return fmt::format("{:08x}", add(add(0, head), text));
}

[[noreturn]] void damaged(std::string what) {
    throw error(std::make_error_code(std::errc::bad_message), "MTA-STS policy", std::move(what));
}

std::string at(std::filesystem::path const& file) { return "MTA-STS policy " + file.string(); }

/// A domain that is the name of a file, too. Others are not kept.
bool is_file_name(std::string_view domain) {
    return !domain.empty() && domain.front() != '.' && domain.size() + ending.size() <= 255 &&
           domain.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == domain.npos;
}

} // namespace

std::string write_kept_policy(std::string_view domain, kept_policy const& one) {
    auto const head =
        fmt::format("trawl sts 1\ndomain {}\nid {}\nuntil {}\n", domain, one.id, one.until);
    return fmt::format("{}crc32 {}\n{}", head, sum_of(head, one.text), one.text);
}

kept_policy read_kept_policy(std::string_view file, std::string_view domain) {
    auto rest = file;
    auto const line = [&rest](std::string_view key) {
        auto const end = rest.find('\n');
        if (end == rest.npos || !rest.starts_with(key)) damaged(fmt::format("no \"{}\"", key));
        auto const value = rest.substr(key.size(), std::max(end, key.size()) - key.size());
        rest.remove_prefix(end + 1);
        return value;
    };
    if (line("trawl sts ") != "1") damaged("it was written by another version");
    auto const whose = line("domain "), id = line("id "), until = line("until ");
    auto const head = file.substr(0, file.size() - rest.size());
    auto const sum = line("crc32 ");
    if (sum != sum_of(head, rest)) damaged("its checksum is wrong");
    if (whose != domain) damaged("it is another domain's");
    kept_policy made;
    made.id = id;
    made.text = rest;
    auto const [end, failure] =
        std::from_chars(until.data(), until.data() + until.size(), made.until);
    if (failure != std::errc() || end != until.data() + until.size()) damaged("no time");
    return made;
}

sts_folder::sts_folder(std::filesystem::path where) : where_(std::move(where)) {
    make_folder(where_, at(where_));
}

std::filesystem::path sts_folder::path_of(std::string const& domain) const {
    return where_ / (domain + std::string(ending));
}

std::optional<kept_policy> sts_folder::find(std::string const& domain, std::int64_t now) const {
    if (!is_file_name(domain)) return std::nullopt;
    auto const path = path_of(domain);
    auto const where = at(path);
    // No link is followed, and no pipe waited for.
    descriptor const file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.get() < 0 && errno == ENOENT) return std::nullopt;
    if (file.get() < 0) fail(where);
    struct stat about {};
    if (::fstat(file.get(), &about) != 0) fail(where);
    try {
        if (auto const why = objection(about, most_bytes); !why.empty()) damaged(why);
        auto const size = static_cast<std::size_t>(about.st_size);
        auto found = read_kept_policy(read_all(file.get(), size, where), domain);
        if (found.until <= now) return std::nullopt;
        return found;
    } catch (error const& e) {
        if (e.code() != std::errc::bad_message) throw;
        throw error(e.code(), where, e.said());
    }
}

void sts_folder::keep(std::string const& domain, kept_policy const& one, std::int64_t now) {
    if (!is_file_name(domain)) return;
    if (written_++ % between_sweeps == 0) sweep(now);
    auto const path = path_of(domain);
    auto const where = at(path);
    auto fresh = fmt::format("{}/{}XXXXXX", where_.string(), unfinished);
    descriptor const file(::mkostemp(fresh.data(), O_CLOEXEC));
    if (file.get() < 0) fail(where);
    try {
        write_all(file.get(), write_kept_policy(domain, one), where);
        // The file's time tells until when it holds, so that sweep() has to read none.
        timespec const times[] = {{0, UTIME_OMIT}, {static_cast<time_t>(one.until), 0}};
        if (::futimens(file.get(), times) != 0 || ::fsync(file.get()) != 0 ||
            ::rename(fresh.c_str(), path.c_str()) != 0)
            fail(where);
        sync_folder(where_, where);
    } catch (error const&) {
        ::unlink(fresh.c_str());
        throw;
    }
}

void sts_folder::sweep(std::int64_t now) const {
    std::vector<std::pair<std::int64_t, std::filesystem::path>> kept;
    std::error_code failure; // what cannot be read is not tidied up
    std::filesystem::directory_iterator one(where_, failure);
    for (; !failure && one != std::filesystem::directory_iterator(); one.increment(failure)) {
        auto const name = one->path().filename().string();
        bool const policy = name.ends_with(ending), left = name.starts_with(unfinished);
        struct stat about {};
        if ((!policy && !left) || ::lstat(one->path().c_str(), &about) != 0) continue;
        bool const over = policy ? about.st_mtime <= now : about.st_mtime + leftover_age < now;
        if (over)
            ::unlink(one->path().c_str());
        else if (policy)
            kept.emplace_back(about.st_mtime, one->path());
    }
    if (kept.size() < most_kept) return;
    auto const spare = static_cast<std::ptrdiff_t>(kept.size() - most_kept + between_sweeps);
    std::nth_element(kept.begin(), kept.begin() + spare, kept.end());
    kept.resize(static_cast<std::size_t>(spare));
    for (auto const& [until, path] : kept) ::unlink(path.c_str());
}

} // namespace trawl::smtp::detail
