#pragma once

#include <trawl/smtp.hpp>

#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// A command line of sendmail(8).
struct sendmail_options {
    std::optional<std::string> sender; ///< -f, -r; empty: the null path
    std::string full_name;             ///< -F
    std::string configuration;         ///< -C
    smtp::parameters parameters;       ///< -N, -R, -V
    bool from_header = false;          ///< -t
    bool dot_ends = true;              ///< not -i
    bool verbose = false;              ///< -v
    bool help = false;
    std::vector<std::string> recipients;
};

/// Reads it; arguments[0] is the program. Options of sendmail that change nothing here (-oem, -B,
/// -G, -m, ...) are taken and ignored. Throws usage_error for what is none, and for the modes other
/// than delivering a message (-bs, -bp, -q, ...).
sendmail_options parse_sendmail(std::vector<std::string> arguments);

} // namespace trawl::cli
