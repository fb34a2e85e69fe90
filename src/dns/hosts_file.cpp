#include "dns/hosts_file.hpp"

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

std::string canonical(std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return lower;
}

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

} // namespace trawl::dns::detail
