#include "cli/backup_verb.hpp"

#include <CLI/Option.hpp>

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace trawl::cli {

namespace bj = boost::json;

void add_archives(CLI::App& verb, backup_words& into) {
    add_place(verb, into);
    verb.add_option("--name", into.name, "NAME of the backup; default: the only one in DEST");
    verb.add_option("--key", into.key, "KEYFILE of encrypted backups");
}

void add_at(CLI::App& verb, backup_words& into) {
    verb.add_option("--at", into.at,
                    "The state at the end of this day: YYYYMMDD or YYYY-MM-DD, "
                    "or at a second of it: YYYY-MM-DDTHH:MM:SS");
}

void add_excludes(CLI::App& verb, backup::exclusions& into) {
    verb.add_option("--exclude", into.exclude,
                    "Leave out what matches this pattern of gitignore(5)")
        ->allow_extra_args(false);
    verb.add_option("--exclude-from", into.exclude_from,
                    "Leave out what the patterns in FILE match")
        ->allow_extra_args(false);
    verb.add_option("--ignore-file", into.ignore_file,
                    "Such patterns in files of this NAME hold for their folder (default "
                    ".trawlignore; \"\": none)");
    verb.add_flag("--exclude-caches", into.exclude_caches,
                  "Leave out the content of folders with a CACHEDIR.TAG");
    verb.add_flag("--exclude-nodump", into.exclude_nodump, "Leave out what chattr +d has marked");
    verb.add_option("--exclude-larger-than", into.max_file_bytes,
                    "Leave out larger files: BYTES, 20MB, 4GiB")
        ->transform(CLI::AsSizeValue(true));
    verb.add_flag("-x,--one-file-system", into.one_file_system,
                  "Leave out the content of folders on which something is mounted");
}

std::optional<std::chrono::system_clock::time_point> backup_words::moment() const {
    if (at.empty()) return std::nullopt;
    return moment_of(at, "--at");
}

std::chrono::system_clock::time_point moment_of(std::string const& text, char const* option) {
    struct form {
        char const* pattern;
        bool with_time;
    };
    constexpr std::array<form, 5> forms{{{"%Y%m%d_%H%M%S", true},
                                         {"%Y-%m-%dT%H:%M:%S", true},
                                         {"%Y-%m-%d %H:%M:%S", true},
                                         {"%Y-%m-%d", false},
                                         {"%Y%m%d", false}}};
    for (auto const& [pattern, with_time] : forms) {
        std::tm parts{};
        auto const* end = ::strptime(text.c_str(), pattern, &parts);
        if (!end || *end != '\0') continue;
        parts.tm_isdst = -1;
        if (!with_time) parts.tm_mday += 1; // mktime carries over
        // The clock counts nanoseconds in 64 bits: after April 2262 it is simply late.
        constexpr auto latest = std::chrono::floor<std::chrono::seconds>(
            std::chrono::system_clock::duration::max() - std::chrono::seconds(2));
        auto const seconds = std::min<std::time_t>(std::mktime(&parts), latest.count());
        auto const at = std::chrono::system_clock::from_time_t(seconds);
        auto const whole = with_time ? std::chrono::seconds(1) : std::chrono::seconds(0);
        return at + whole - std::chrono::nanoseconds(1);
    }
    throw usage_error(std::string(option) + ": not a date: " + text);
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<char const*, 5> units{"B", "KB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1000 && unit + 1 < units.size(); ++unit) value /= 1000;
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

bj::array errors_of(std::vector<backup::problem> const& problems) {
    bj::array list;
    for (auto const& p : problems)
        list.push_back(
            bj::object{{"path", json::text(p.path)}, {"message", json::text(p.message)}});
    return list;
}

int exit_code_of(std::error_code failure) {
    if (failure == backup::errc::no_such_archive) return no_such_archive;
    if (failure == backup::errc::locked) return locked;
    if (failure == backup::errc::corrupt) return corrupt;
    if (failure == backup::errc::no_key || failure == backup::errc::wrong_key) return bad_secret;
    if (failure == backup::errc::incomplete) return backup_incomplete;
    if (failure == backup::errc::bad_name || failure == backup::errc::bad_source ||
        failure == backup::errc::bad_option)
        return usage;
    return some_failed;
}

awaitable<int> with_summary(environment& here, awaitable<int> work) {
    auto const began = clock::now();
    int code = some_failed;
    try {
        code = co_await std::move(work);
    } catch (std::system_error const& failure) {
        if (!is_cancelled(failure)) here.log().log(severity::error, "", failure.what());
        code = exit_code_of(failure.code());
    } catch (no_secret const& failure) {
        here.log().log(severity::error, "", failure.what());
        code = bad_secret;
    }
    code = here.outcome(code);
    if (here.words().json) {
        bool const ok = code == all_well;
        here.out().record(json::record("summary", "backup")
                              .field("targets", 1)
                              .field("ok", ok ? 1 : 0)
                              .field("failed", ok ? 0 : 1)
                              .field("elapsed", clock::now() - began)
                              .field("exit", code));
    }
    co_return code;
}

} // namespace trawl::cli
