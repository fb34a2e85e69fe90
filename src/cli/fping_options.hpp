#pragma once

#include <trawl/async.hpp>

#include <asio/ip/address.hpp>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace trawl::cli {

/// What a command line of fping 5.1 means (fping(8)), checked as fping checks it. Further, as in
/// fping 5.2: -X and -k.
struct fping_options {
    enum class family { any, v4, v6 };
    enum class mode {
        reach, ///< is it there: one echo, and `retries` more to the silent
        count, ///< -c, -C
        loop,  ///< -l
    };

    std::string program = "fping"; ///< argv[0], which begins the messages

    // What is sent.
    family only = family::any; ///< -4, -6
    mode how = mode::reach;
    unsigned count = 1;                      ///< echoes to each target; of mode::count
    unsigned retries = 3;                    ///< -r, of mode::reach
    double backoff = 1.5;                    ///< -B, 1 to 5: a retry's timeout is so much longer
    duration timeout{};                      ///< -t, or what fping takes without
    duration period{};                       ///< -p, between two echoes to one target
    duration interval{};                     ///< -i, between two echoes to any
    unsigned bytes = 56;                     ///< -b, behind the ICMP header
    bool random_bytes = false;               ///< -R
    std::uint8_t hop_limit = 0;              ///< -H; 0: the system's
    std::uint8_t traffic_class = 0;          ///< -O
    bool dont_fragment = false;              ///< -M
    std::uint32_t mark = 0;                  ///< -k
    std::string interface;                   ///< -I
    std::optional<asio::ip::address> source; ///< -S

    // Whom.
    bool all_addresses = false;      ///< -m, of a name
    bool generate = false;           ///< -g: `words` are a network, or first and last
    std::optional<std::string> file; ///< -f, also standard input ("-") when no target is given
    std::vector<std::string> words;  ///< what is no option

    // What is shown.
    bool alive = false, unreachable = false; ///< -a, -u: only these, by name alone
    bool addresses = false;                  ///< -A
    bool names_of_addresses = false;         ///< -n
    bool names_of_all = false;               ///< -d
    bool elapsed = false;                    ///< -e
    bool timestamps = false;                 ///< -D
    bool vector = false;                     ///< -C
    bool outage = false;                     ///< -o
    bool quiet = false;                      ///< -q, -Q
    bool netdata = false;                    ///< -N
    bool totals = false;                     ///< -s
    duration report{};                       ///< -Q, between two summaries; 0: none
    unsigned required = 0;                   ///< -x, -X: hosts to be reachable
    bool at_once = false;                    ///< -X: end as soon as they are

    // What follows from these.
    bool verdicts = true;   ///< "is alive", "is unreachable"
    bool each_echo = false; ///< a line for each
    /// Summaries every `report`.
    bool reports() const { return report > duration{} && how != mode::reach; }
};

/// An end before anything is sent: help, version, or a mistake.
struct fping_exit {
    int code = 0;
    std::string out, err; ///< for stdout and stderr
};

/// Reads argv (with the program's name). Takes no file and no socket.
std::variant<fping_options, fping_exit> parse_fping(std::vector<std::string> const& argv);

/// The targets that the words, the file, or -g mean, as names to look up. Reads `input` for "-".
/// Blocks while it reads.
std::variant<std::vector<std::string>, fping_exit> fping_targets(fping_options const& o,
                                                                 std::istream& input);

/// fping's exit code for a run that came to its end: 0 when every host was alive, 1 when some were
/// not, 2 when some names were not found; with -x or -X, 0 or 1 by the number of those alive.
int fping_exit_code(fping_options const& o, std::size_t hosts, std::size_t alive,
                    std::size_t names_not_found);

} // namespace trawl::cli
