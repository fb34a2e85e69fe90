#include "cli/sftp_words.hpp"

#include "cli/targets.hpp"

#include <algorithm>

namespace trawl::cli {
namespace {

targets::list hosts_of(std::string text, sftp_words const& said) {
    // An IPv6 address needs its brackets only because of the ':' behind it.
    if (text.starts_with('[') && text.find(']') == text.size() - 1 &&
        text.find(':') != std::string::npos)
        text = text.substr(1, text.size() - 2);
    auto hosts = read_targets({text}, said.excludes);
    if (hosts.has_ports()) throw usage_error("the port of a host stands in -p, not in its target");
    if (hosts.empty()) throw usage_error("no target is left");
    return hosts;
}

/// Where the first ':' outside of brackets stands; npos: there is none.
std::size_t colon_of(std::string_view word) {
    int depth = 0;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] == '[') ++depth;
        if (word[i] == ']') --depth;
        if (word[i] == ':' && depth == 0) return i;
    }
    return word.npos;
}

} // namespace

bool is_remote(std::string_view word) {
    auto const at = colon_of(word);
    return at > 0 && at != word.npos && !word.starts_with('/') && !word.starts_with('.');
}

remote_place parse_place(std::string_view word) {
    auto const at = colon_of(word);
    if (at == 0 || at == word.npos) throw usage_error("not TARGET:REMOTE: " + std::string(word));
    return {std::string(word.substr(0, at)), std::string(word.substr(at + 1))};
}

std::string last_name(std::string_view path) {
    while (path.ends_with('/')) path.remove_suffix(1);
    return std::string(path.substr(path.rfind('/') + 1)); // npos + 1 is 0
}

sftp_errand put_errand(sftp_words const& said) {
    auto const place = parse_place(said.names.back());
    sftp_errand errand;
    errand.hosts = hosts_of(place.target, said);
    errand.remote = {place.path};
    return errand;
}

std::vector<sftp_errand> read_errands(sftp_words const& said, std::size_t count) {
    std::vector<sftp_errand> errands;
    std::vector<std::string> seen;
    for (std::size_t i = 0; i < count; ++i) {
        auto place = parse_place(said.names[i]);
        auto const at = std::find(seen.begin(), seen.end(), place.target);
        if (at == seen.end()) {
            seen.push_back(place.target);
            errands.push_back({hosts_of(place.target, said), {std::move(place.path)}});
        } else {
            errands[static_cast<std::size_t>(at - seen.begin())].remote.push_back(
                std::move(place.path));
        }
    }
    return errands;
}

std::vector<sftp_errand> get_errands(sftp_words const& said) {
    return read_errands(said, said.names.size() - 1);
}

} // namespace trawl::cli
