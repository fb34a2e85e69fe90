#include "backup/repository.hpp"

#include "backup/hash.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <span>
#include <utility>

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

std::string words_of(error const& failure) {
    return failure.said().empty() ? failure.code().message() : failure.said();
}

bool is_damage(std::error_code code) noexcept {
    bool const by_disk = code.category() == std::system_category();
    return code == errc::corrupt || (by_disk && code != asio::error::operation_aborted);
}

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

std::shared_ptr<store> open_archives(std::shared_ptr<store> given,
                                     std::filesystem::path const& folder) {
    if (!given) given = local_store(folder);
    given->open(false);
    return given;
}

bool has_sealed(store& seen, std::string const& name) {
    auto files = seen.list();
    std::erase_if(files, [](std::string const& file) { return !file.ends_with(sealed_suffix); });
    for (auto& file : files) file.resize(file.size() - sealed_suffix.size());
    auto const names = names_in(files);
    return name.empty() ? !names.empty() : std::binary_search(names.begin(), names.end(), name);
}

void throw_none(store& seen, std::string const& name) {
    auto const code = has_sealed(seen, name) ? errc::no_key : errc::no_such_archive;
    throw error(code, "backup " + seen.where() + (name.empty() ? "" : " " + name));
}

std::string choose_name(store& from, std::string const& asked) {
    auto const where = "backup " + from.where();
    if (!asked.empty() && !is_name(asked))
        throw error(errc::bad_name, where, "\"" + asked + "\" as NAME");
    if (!asked.empty()) return asked;
    auto const names = names_in(from.list());
    if (names.empty()) throw_none(from, {});
    if (names.size() == 1) return names.front();
    std::string all;
    for (auto const& name : names) all += (all.empty() ? "" : ", ") + name;
    throw error(errc::bad_name, where, "which NAME of " + all + "?");
}

loaded load(store& from, std::string const& file, std::stop_token const& stop) {
    auto const where = "backup " + from.where() + "/" + file;
    auto const opened = from.read(file);
    if (!opened) throw error(errc::no_such_archive, where);
    manifest_parser parser;
    std::string piece(std::size_t(1) << 20, '\0');
    for (std::uint64_t at = 0; auto const n = opened->read(at, piece); at += n) {
        stop_point(stop);
        parser.feed(std::string_view(piece).substr(0, n));
    }
    std::string complaint;
    auto state = parser.finish(complaint);
    if (!state) throw error(errc::corrupt, where, complaint);
    return {std::move(*state), file, parser.hash_of_all()};
}

std::optional<manifest> load_header(store& from, std::string const& file, std::string& complaint) {
    try {
        auto const opened = from.read(file);
        if (!opened) complaint = system_message(ENOENT);
        std::string bytes;
        // The header has a link for each increment since the full: some hundred bytes each.
        for (std::array<char, 4096> piece; opened;) {
            auto const n = opened->read(bytes.size(), piece);
            std::string_view const read(piece.data(), n);
            auto const end = read.find('\n');
            bytes += read;
            if (end != std::string_view::npos)
                return parse_header(std::string_view(bytes).substr(0, bytes.size() - n + end),
                                    complaint);
            if (n == 0) {
                complaint = "line 1: the file ends too early";
                break;
            }
        }
    } catch (error const& failure) {
        if (!is_damage(failure.code())) throw;
        complaint = words_of(failure);
    }
    return std::nullopt;
}

std::vector<std::string> candidates(store& from, std::string const& name,
                                    std::optional<std::int64_t> until_ns,
                                    std::vector<problem>& damage) {
    std::vector<std::pair<std::int64_t, std::string>> dated_ones;
    for (auto const& file : from.list()) {
        auto const dated = parse_dated(file);
        if (!dated || dated->name != name) continue;
        std::string complaint;
        auto const head = load_header(from, file, complaint);
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

loaded newest(store& from, std::string const& name, std::optional<std::int64_t> until_ns,
              std::vector<problem>& damage, std::stop_token const& stop) {
    auto const usable = [&](std::string const& file) -> std::optional<loaded> {
        try {
            auto found = load(from, file, stop);
            if (found.state.name == name) return found;
            damage.push_back({file, "belongs to " + found.state.name});
        } catch (error const& failure) {
            if (failure.code() == errc::no_such_archive) return std::nullopt;
            if (!is_damage(failure.code())) throw;
            damage.push_back({file, words_of(failure)});
        }
        return std::nullopt;
    };
    if (!until_ns) // most often all there is to it
        if (auto found = usable(latest_of(name))) return std::move(*found);
    for (auto const& file : candidates(from, name, until_ns, damage))
        if (until_ns || file != latest_of(name))
            if (auto found = usable(file)) return std::move(*found);
    auto const where = "backup " + from.where() + " " + name;
    if (damage.empty()) throw_none(from, name);
    throw error(errc::corrupt, where, damage.front().path + ": " + damage.front().message);
}

} // namespace trawl::backup::detail
