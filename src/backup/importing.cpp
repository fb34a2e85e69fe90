#include "backup/importing.hpp"

#include "backup/live.hpp"
#include "backup/walk.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace fs = std::filesystem;

std::optional<std::map<std::string, digest>> parse_md5_list(std::string_view json,
                                                            std::string& complaint) {
    boost::json::error_code ec;
    auto const value = boost::json::parse(json, ec);
    auto const* object = ec ? nullptr : value.if_object();
    if (!object) {
        complaint = ec ? "no JSON: " + ec.message() : "no object of paths and hashes";
        return std::nullopt;
    }
    std::map<std::string, digest> all;
    for (auto const& [key, hash] : *object) {
        std::string text;
        if (auto const* found = hash.if_string()) text.assign(found->data(), found->size());
        std::transform(text.begin(), text.end(), text.begin(), [](char c) {
            return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
        });
        auto const parsed = from_hex(text, size_of(hash::md5));
        if (!parsed) {
            complaint = "what \"" + std::string(key) + "\" has is no MD5";
            return std::nullopt;
        }
        all.emplace(key, *parsed);
    }
    return all;
}

std::string path_in_source(std::string_view path, std::string_view source) {
    if (path.starts_with("./")) path.remove_prefix(2);
    while (source.size() > 1 && source.ends_with('/')) source.remove_suffix(1);
    auto const beneath = [&](std::string_view folder) {
        return !folder.empty() && is_within(path, folder) && path.size() > folder.size();
    };
    for (auto const folder :
         {source, source.substr(source.starts_with('/') ? 1 : 0), leaf_of(source)})
        if (beneath(folder)) return std::string(path.substr(folder.size() + 1));
    return path.starts_with('/') ? std::string() : std::string(path);
}

importing::~importing() {
    root_.reset();
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

void importing::prepare() {
    auto const shown = options_.hashes.string();
    descriptor const file(::open(shown.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) fail(errno, shown);
    std::string complaint;
    auto const found = parse_md5_list(read_all(file.get(), shown), complaint);
    if (!found) throw error(errc::corrupt, "backup import " + shown, complaint);
    for (auto const& [path, hash] : *found) {
        auto const inside = path_in_source(path, options_.source.string());
        if (!is_clean(inside))
            throw error(errc::bad_option, "backup import " + shown,
                        path + " is not beneath " + options_.source.string());
        hashes_[inside] = hash;
    }
    std::error_code ec;
    for (auto const& archive : options_.archives) {
        struct stat facts {};
        if (::stat(archive.c_str(), &facts) != 0) fail(errno, archive.string());
        when_ = std::max(when_, std::chrono::system_clock::from_time_t(facts.st_mtim.tv_sec));
    }
    fs::create_directories(options_.destination, ec);
    if (ec) throw error(ec, "backup " + options_.destination.string());
    auto pattern = (options_.destination / ".import-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) fail(errno, pattern);
    folder_ = pattern;
}

// Scripts put files into archives under the source's whole path, or under its last component.
fs::path importing::tree() const {
    auto const source = options_.source.lexically_normal().relative_path();
    for (auto const& inside : {source, source.filename()})
        if (!inside.empty() && fs::is_directory(fs::symlink_status(folder_ / inside)))
            return folder_ / inside;
    return folder_;
}

void importing::sift(std::stop_token const& stop, import_report& into) {
    root_ = open_folder(tree().string());
    walker all(root_.get(), {});
    all.work(stop);
    auto const found = all.result();
    live_hasher with(hash::md5);
    for (auto const& e : found.entries) {
        stop_point(stop);
        if (e.type != file_type::regular) continue;
        auto const named = hashes_.find(e.path);
        auto const drop = [&] {
            if (::unlink((tree() / e.path).c_str()) != 0) fail(errno, e.path);
        };
        if (named == hashes_.end()) {
            ++into.forgotten;
            drop();
            continue;
        }
        auto const file = open_beneath(root_.get(), e.path, O_RDONLY);
        auto const content = file ? with.of(file.get(), e, false, stop) : std::nullopt;
        if (content && *content == named->second) {
            ++into.agreed;
        } else {
            into.errors.push_back({e.path, "has another MD5 in the archives than in " +
                                               options_.hashes.filename().string()});
            drop();
        }
        hashes_.erase(named);
    }
    for (auto const& [path, hash] : hashes_) into.errors.push_back({path, "is in no archive"});
}

} // namespace trawl::backup::detail
