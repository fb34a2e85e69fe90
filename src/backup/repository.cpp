#include "backup/repository.hpp"

#include "backup/hash.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::string_view manifest_suffix = ".manifest.json";

std::tm local_time(std::chrono::system_clock::time_point when) {
    auto const seconds = std::chrono::system_clock::to_time_t(when);
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    return parts;
}

bool all_digits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_stamp(std::string_view text) {
    if (text.size() == 8) return all_digits(text);
    return text.size() == 15 && all_digits(text.substr(0, 8)) && text[8] == '_' &&
           all_digits(text.substr(9));
}

std::string infix_of(kind made) { return '_' + std::string(word(made)) + '_'; }

} // namespace

std::string stamp_of(std::chrono::system_clock::time_point when, bool with_time) {
    auto const parts = local_time(when);
    char text[32];
    auto const n = std::strftime(text, sizeof text, with_time ? "%Y%m%d_%H%M%S" : "%Y%m%d", &parts);
    return std::string(text, n);
}

std::chrono::sys_days local_day(std::chrono::system_clock::time_point when) {
    auto const parts = local_time(when);
    return std::chrono::year(parts.tm_year + 1900) /
           std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)) /
           std::chrono::day(static_cast<unsigned>(parts.tm_mday));
}

std::optional<std::int64_t> since_1970(std::optional<std::chrono::system_clock::time_point> when) {
    if (!when) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(when->time_since_epoch()).count();
}

std::optional<dated_name> parse_dated(std::string_view file) {
    if (!file.ends_with(manifest_suffix)) return std::nullopt;
    file.remove_suffix(manifest_suffix.size());
    for (auto const made : {kind::full, kind::incremental, kind::differential}) {
        auto const infix = infix_of(made);
        auto const at = file.rfind(infix);
        if (at == std::string_view::npos || at == 0) continue;
        auto const stamp = file.substr(at + infix.size());
        if (!is_stamp(stamp)) continue;
        return dated_name{std::string(file.substr(0, at)), std::string(stamp), made};
    }
    return std::nullopt;
}

std::string stem_of(dated_name const& name) { return name.name + infix_of(name.made) + name.stamp; }

bool is_name(std::string_view name) noexcept {
    return !name.empty() && name.size() < 200 && name.front() != '.' &&
           std::none_of(name.begin(), name.end(), [](char c) {
               return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
           });
}

std::vector<std::string> list(int folder) {
    auto again = open_beneath(folder, "", O_RDONLY | O_DIRECTORY);
    std::unique_ptr<DIR, int (*)(DIR*)> names(again ? ::fdopendir(again.get()) : nullptr,
                                              &::closedir);
    if (!names) fail(errno, "list of backups");
    again.release();
    std::vector<std::string> files;
    errno = 0;
    while (auto const* found = ::readdir(names.get())) files.emplace_back(found->d_name);
    if (errno != 0) fail(errno, "list of backups");
    std::sort(files.begin(), files.end());
    return files;
}

std::vector<std::string> names_in(std::vector<std::string> const& files) {
    constexpr std::string_view latest = "_manifest.json";
    std::vector<std::string> names;
    for (auto const& file : files) {
        if (auto dated = parse_dated(file))
            names.push_back(std::move(dated->name));
        else if (file.ends_with(latest) && file.size() > latest.size() && file.front() != '.')
            names.push_back(file.substr(0, file.size() - latest.size()));
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

std::string choose_name(int folder, std::string const& shown, std::string const& asked) {
    if (!asked.empty() && !is_name(asked))
        throw error(errc::bad_name, "backup " + shown, "\"" + asked + "\" as NAME");
    if (!asked.empty()) return asked;
    auto const names = names_in(list(folder));
    if (names.empty()) throw error(errc::no_such_archive, "backup " + shown);
    if (names.size() == 1) return names.front();
    std::string all;
    for (auto const& name : names) all += (all.empty() ? "" : ", ") + name;
    throw error(errc::bad_name, "backup " + shown, "which NAME of " + all + "?");
}

descriptor open_archives(std::string const& path) {
    descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder && errno == ENOENT) throw error(errc::no_such_archive, "backup " + path);
    if (!folder) fail(errno, path);
    return folder;
}

loaded load(int folder, std::string const& file, std::string const& shown,
            std::stop_token const& stop) {
    auto const where = shown + "/" + file;
    auto opened = open_beneath(folder, file, O_RDONLY);
    if (!opened && errno == ENOENT) throw error(errc::no_such_archive, "backup " + where);
    if (!opened) fail(errno, where);
    auto const bytes = read_all(opened.get(), where, stop);
    std::string complaint;
    auto state = parse_manifest(bytes, complaint);
    if (!state) throw error(errc::corrupt, "backup " + where, complaint);
    return {std::move(*state), file, hasher(hash::sha256).of(bytes)};
}

std::optional<manifest> load_header(int folder, std::string const& file, std::string& complaint) {
    auto opened = open_beneath(folder, file, O_RDONLY);
    std::string bytes;
    for (;;) { // the header has a link for each increment since the full: some hundred bytes each
        char piece[4096];
        auto const n = opened ? ::read(opened.get(), piece, sizeof piece) : -1;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            complaint = n < 0 ? system_message(errno) : "line 1: the file ends too early";
            return std::nullopt;
        }
        std::string_view const read(piece, static_cast<std::size_t>(n));
        auto const end = read.find('\n');
        bytes += read.substr(0, end);
        if (end != std::string_view::npos) break;
    }
    return parse_header(bytes, complaint);
}

std::vector<std::string> candidates(int folder, std::string const& name,
                                    std::optional<std::int64_t> until_ns,
                                    std::vector<problem>& damage) {
    std::vector<std::pair<std::int64_t, std::string>> dated_ones;
    for (auto const& file : list(folder)) {
        auto const dated = parse_dated(file);
        if (!dated || dated->name != name) continue;
        std::string complaint;
        auto const head = load_header(folder, file, complaint);
        if (!head)
            damage.push_back({file, complaint});
        else if (!until_ns || head->self().created_ns <= *until_ns)
            dated_ones.emplace_back(head->self().created_ns, file);
    }
    std::sort(dated_ones.rbegin(), dated_ones.rend());
    std::vector<std::string> files;
    if (!until_ns) files.push_back(latest_of(name));
    for (auto& [when, file] : dated_ones) files.push_back(std::move(file));
    return files;
}

loaded newest(int folder, std::string const& shown, std::string const& name,
              std::optional<std::int64_t> until_ns, std::vector<problem>& damage,
              std::stop_token const& stop) {
    auto const usable = [&](std::string const& file) -> std::optional<loaded> {
        try {
            auto found = load(folder, file, shown, stop);
            if (found.state.name == name) return found;
            damage.push_back({file, "belongs to " + found.state.name});
        } catch (error const& failure) {
            if (is_cancelled(failure)) throw;
            if (failure.code() != errc::no_such_archive)
                damage.push_back(
                    {file, failure.said().empty() ? failure.code().message() : failure.said()});
        }
        return std::nullopt;
    };
    if (!until_ns) // most often all there is to it
        if (auto found = usable(latest_of(name))) return std::move(*found);
    for (auto const& file : candidates(folder, name, until_ns, damage))
        if (until_ns || file != latest_of(name))
            if (auto found = usable(file)) return std::move(*found);
    auto const where = "backup " + shown + " " + name;
    if (damage.empty()) throw error(errc::no_such_archive, where);
    throw error(errc::corrupt, where, damage.front().path + ": " + damage.front().message);
}

temporary::temporary(int folder, std::string shown, std::string name)
    : folder_(folder), shown_(std::move(shown)), name_(std::move(name)) {
    if (::unlinkat(folder_, name_.c_str(), 0) != 0 && errno != ENOENT)
        fail(errno, shown_ + "/" + name_);
    file_ = open_beneath(folder_, name_, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (!file_) fail(errno, shown_ + "/" + name_);
}

temporary::~temporary() {
    if (file_) ::unlinkat(folder_, name_.c_str(), 0);
}

void temporary::write(std::string_view bytes) {
    write_all(file_.get(), bytes, shown_ + "/" + name_);
    size_ += bytes.size();
}

void temporary::publish(std::string const& final_name, bool replace) {
    auto const where = shown_ + "/" + final_name;
    if (::fsync(file_.get()) != 0) fail(errno, "fsync " + where);
    auto const flags = replace ? 0u : static_cast<unsigned>(RENAME_NOREPLACE);
    int result = ::renameat2(folder_, name_.c_str(), folder_, final_name.c_str(), flags);
    if (result != 0 && errno == EINVAL && !replace) {
        // No such flag on this file system. Runs of this NAME are locked out; look, then rename.
        if (::faccessat(folder_, final_name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            errno = EEXIST;
        else
            result = ::renameat(folder_, name_.c_str(), folder_, final_name.c_str());
    }
    if (result != 0 && errno == EEXIST) throw error(errc::exists, "backup " + where);
    if (result != 0) fail(errno, "rename " + where);
    file_.reset(); // it has its name: not to be removed any more
    if (::fsync(folder_) != 0) fail(errno, "fsync " + shown_);
}

} // namespace trawl::backup::detail
