#include "dns/hosts_file.hpp"

#include "dns/message.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace trawl::dns::detail {

namespace {

template <class T>
void add_once(std::vector<T>& to, T const& value) {
    if (std::find(to.begin(), to.end(), value) == to.end()) to.push_back(value);
}

} // namespace

hosts_file hosts_file::parse(std::string_view text) {
    hosts_file table;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line.substr(0, line.find('#')));
        std::string word;
        words >> word;
        std::error_code failure;
        auto const address = asio::ip::make_address(word, failure);
        if (failure) continue;
        for (bool first = true; words >> word; first = false) {
            add_once(table.by_name_[canonical(word)], address);
            if (first) add_once(table.by_address_[address], word);
        }
    }
    return table;
}

hosts_file hosts_file::read(std::filesystem::path const& path) {
    std::ifstream file(path);
    return parse(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::vector<asio::ip::address> hosts_file::addresses(std::string_view name) const {
    auto const found = by_name_.find(canonical(name));
    return found == by_name_.end() ? std::vector<asio::ip::address>() : found->second;
}

std::vector<std::string> hosts_file::names(asio::ip::address const& address) const {
    auto const found = by_address_.find(address);
    return found == by_address_.end() ? std::vector<std::string>() : found->second;
}

watched_hosts::watched_hosts(std::filesystem::path path) : path_(std::move(path)) {}

struct ::stat watched_hosts::state() const {
    struct ::stat found {};
    if (::stat(path_.c_str(), &found) != 0) found = {}; // as an empty file
    return found;
}

hosts_file const& watched_hosts::at(time_point now) {
    if (path_.empty() || now < next_look_) return table_;
    next_look_ = now + std::chrono::seconds(1);
    auto const found = state();
    bool const same = found.st_ino == seen_.st_ino && found.st_size == seen_.st_size &&
                      found.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
                      found.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec;
    if (same) return table_;
    seen_ = found;
    table_ = hosts_file::read(path_);
    return table_;
}

} // namespace trawl::dns::detail
