#pragma once

#include "cli/environment.hpp"

#include <trawl/async.hpp>
#include <trawl/smtp.hpp>
#include <trawl/smtp_direct.hpp>

#include <CLI/App.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace trawl::cli {

/// What the command line says about mail without a relay.
struct direct_words {
    bool direct = false, no_dane = false, mta_sts = false;
    std::string spool, flush; ///< folders
    std::vector<std::string> dns_servers;
    std::uint16_t port = 25;

    bool any() const noexcept { return direct || !flush.empty(); }
};

/// Declares the options.
void add_direct(CLI::App& verb, direct_words& into);

/// Sends a message to the exchangers of its recipients, through the spool when there is one, and
/// returns its answers. Throws as direct::send and spool::put.
awaitable<smtp::receipt> send_direct(environment& here, direct_words said, smtp::direct_options how,
                                     smtp::outgoing one);

/// Sends what is due in the spool and calls `show` for each message. Throws error when the folder
/// cannot be used.
awaitable<> flush_spool(environment& here, direct_words said, smtp::direct_options how,
                        std::function<void(smtp::receipt const&)> show);

} // namespace trawl::cli
