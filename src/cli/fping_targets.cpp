#include "cli/fping_options.hpp"

#include <asio/ip/address_v4.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <istream>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace trawl::cli {
namespace {

using names = std::vector<std::string>;

constexpr std::uint64_t most_of_a_range = 100'000;      // fping: MAX_GENERATE
constexpr std::uint64_t most_of_a_network = 1ull << 24; // fping 5.1 has no limit but memory

struct stop {
    fping_exit how;
};

[[noreturn]] void refuse(std::string text) { throw stop{{1, "", std::move(text) + "\n"}}; }

/// The first word of each line; a word that begins with # makes the line a comment.
names read_names(std::istream& from) {
    names found;
    for (std::string line; std::getline(from, line);) {
        constexpr auto blank = " \t\r\v\f";
        auto const begin = line.find_first_not_of(blank);
        if (begin == std::string::npos || line[begin] == '#') continue;
        found.push_back(line.substr(begin, line.find_first_of(blank, begin) - begin));
    }
    return found;
}

names read_file(fping_options const& o, std::istream& input) {
    if (*o.file == "-") return read_names(input);
    std::ifstream file(*o.file);
    if (!file)
        throw stop{{4, "", fmt::format("{}: fopen : {}\n", o.program, std::strerror(errno))}};
    return read_names(file);
}

/// A numeric address in any form that inet_aton knows (127.1, 0x7f.1). `mark` stands behind the
/// program's name in the message: fping has a comma there for networks.
std::uint32_t address(fping_options const& o, std::string const& text, char mark) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    addrinfo* raw = nullptr;
    if (int const failure = ::getaddrinfo(text.c_str(), nullptr, &hints, &raw); failure != 0)
        refuse(fmt::format("{}{} can't parse address {}: {}", o.program, mark, text,
                           ::gai_strerror(failure)));
    std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> const found(raw, &::freeaddrinfo);
    if (found->ai_family != AF_INET)
        refuse(fmt::format("{}: -g works only with IPv4 addresses", o.program));
    sockaddr_in ip{};
    std::memcpy(&ip, found->ai_addr, sizeof ip);
    return ntohl(ip.sin_addr.s_addr);
}

names count_up(fping_options const& o, std::uint64_t first, std::uint64_t last,
               std::uint64_t most) {
    if (last > first + most)
        refuse(fmt::format("{}: -g parameter generates too many addresses", o.program));
    names made;
    for (; first <= last; ++first)
        made.push_back(asio::ip::address_v4(static_cast<std::uint32_t>(first)).to_string());
    return made;
}

/// Without the network's and the broadcast address, unless that leaves none.
names network(fping_options const& o, std::string const& word) {
    auto const slash = word.find('/');
    if (slash == std::string::npos)
        refuse(fmt::format("{}: -g wants a network with its prefix length, or first and last "
                           "address, not '{}'",
                           o.program, word));
    std::uint64_t const inside = address(o, word.substr(0, slash), ',');
    auto const length = std::atoi(word.c_str() + slash + 1);
    if (length < 1 || length > 32)
        refuse(fmt::format("{}: netmask must be between 1 and 32 (is: {})", o.program,
                           word.substr(slash + 1)));
    auto const size = std::uint64_t(1) << (32 - length);
    auto const first = inside & ~(size - 1), last = first + size - 1;
    bool const regular = length < 31;
    return count_up(o, first + regular, last - regular, most_of_a_network);
}

names generated(fping_options const& o) {
    if (o.words.size() == 1) return network(o, o.words[0]);
    if (o.words.size() > 2)
        refuse(fmt::format("{}: -g wants a network, or first and last address; here are {} words",
                           o.program, o.words.size()));
    std::uint64_t const first = address(o, o.words[0], ':'), last = address(o, o.words[1], ':');
    return count_up(o, first, last, most_of_a_range);
}

} // namespace

std::variant<std::vector<std::string>, fping_exit> fping_targets(fping_options const& o,
                                                                 std::istream& input) {
    try {
        if (o.file) return read_file(o, input);
        return o.generate ? generated(o) : o.words;
    } catch (stop const& early) {
        return early.how;
    }
}

} // namespace trawl::cli
