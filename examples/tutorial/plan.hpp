#pragma once

#include <trawl/targets.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>

/// What the command line says, in this order; the later pages read more of it.
struct plan {
    trawl::targets::list targets;
    std::string user, key, known_hosts;
    std::uint16_t ssh_port = 22;
    std::string command;
    std::uint16_t smtp_port = 25;
    std::string to;
    std::string source, backups;

    plan(int count, char** words, int needed) {
        if (count <= needed) throw std::runtime_error("too few words");
        auto const word = [&](int i) { return std::string(i < count ? words[i] : ""); };
        auto const port = [&](int i) {
            return i < count ? static_cast<std::uint16_t>(std::stoi(words[i])) : std::uint16_t(0);
        };
        targets.add(word(1));
        user = word(2), key = word(3), known_hosts = word(4), ssh_port = port(5), command = word(6);
        smtp_port = port(7), to = word(8), source = word(9), backups = word(10);
    }
};
