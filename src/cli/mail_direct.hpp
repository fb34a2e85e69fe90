#pragma once

#include "cli/environment.hpp"

#include <trawl/async.hpp>
#include <trawl/dns.hpp>
#include <trawl/smtp.hpp>
#include <trawl/smtp_direct.hpp>
#include <trawl/smtp_spool.hpp>

#include <CLI/App.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// What the command line says about mail without a relay.
struct direct_words {
    bool direct = false, no_dane = false, mta_sts = false;
    std::string spool, flush, sts_cache; ///< folders
    std::vector<std::string> dns_servers;
    std::uint16_t port = 25;

    bool any() const noexcept { return direct || !flush.empty(); }
};

/// Declares the options.
void add_direct(CLI::App& verb, direct_words& into);

/// Sends messages to the exchangers of their recipients, through the spool when there is one.
class direct_sender {
public:
    direct_sender(environment& here, asio::any_io_executor const& executor,
                  direct_words const& said, smtp::direct_options how);
    /// One whose authorities were not read on the loop. Throws error when a folder cannot be used.
    static awaitable<std::unique_ptr<direct_sender>> open(environment& here, direct_words said,
                                                          smtp::direct_options how);

    /// Throws as direct::send and spool::put.
    awaitable<smtp::receipt> send(smtp::outgoing one);
    awaitable<> quit() { return direct_.quit(); }
    smtp::direct& direct() noexcept { return direct_; }

private:
    environment& here_;
    std::string folder_;
    dns::resolver names_;
    smtp::direct direct_;
    std::optional<smtp::spool> spool_;
};

/// Everybody has the message, or will have it from the spool.
bool is_settled(direct_words const& said, smtp::receipt const& sent);

/// Sends one message and returns its answers. Throws as direct_sender.
awaitable<smtp::receipt> send_direct(environment& here, direct_words said, smtp::direct_options how,
                                     smtp::outgoing one);

/// Sends what is due in the spool and calls `show` for each message. Throws error when the folder
/// cannot be used.
awaitable<> flush_spool(environment& here, direct_words said, smtp::direct_options how,
                        std::function<void(smtp::receipt const&)> show);

} // namespace trawl::cli
