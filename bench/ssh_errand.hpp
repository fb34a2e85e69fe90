#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

// What every client of ssh.sh is told, in any language:
//
//     CLIENT PORT USER KEY KNOWN_HOSTS JOBS TIMES COMMAND < HOSTS
//
// JOBS hosts at once; on each the host's key is checked, the user's key logs in, and COMMAND runs TIMES times, one after the
// other. Prints a line for each host: "HOST STATUS BYTES" of the last time, or "HOST failed: WHY".

struct ssh_errand {
    std::uint16_t port = 0;
    std::string user, key, known_hosts;
    std::size_t jobs = 1, times = 1;
    std::string command;
    std::vector<std::string> hosts;
};

/// Ends the program when that is not what it was told.
inline ssh_errand read_errand(int count, char** word) {
    if (count != 8) {
        std::fprintf(stderr, "%s PORT USER KEY KNOWN_HOSTS JOBS TIMES COMMAND < HOSTS\n", word[0]);
        std::exit(2);
    }
    ssh_errand what;
    what.port = static_cast<std::uint16_t>(std::atoi(word[1]));
    what.user = word[2], what.key = word[3], what.known_hosts = word[4];
    what.jobs = static_cast<std::size_t>(std::atoll(word[5]));
    what.times = static_cast<std::size_t>(std::atoll(word[6]));
    what.command = word[7];
    for (std::string host; std::getline(std::cin, host);) what.hosts.push_back(host);
    return what;
}
