#pragma once

#include "cli/environment.hpp"
#include "cli/mail_direct.hpp"
#include "cli/mail_letter.hpp"
#include "cli/mail_server.hpp"

#include <string>

namespace trawl::cli {

struct batch_words {
    std::string file; ///< "-": standard input; empty: no batch
    std::size_t jobs = 20;
    double rate = 0;                ///< messages a second; 0: any
    std::size_t per_connection = 0; ///< messages; 0: any
};

/// Sends a message for each line of JSON (mail_letter.hpp), over several connections; its exit
/// code. A line that is no message costs none of the others anything. Holds a bounded number of
/// messages, however many lines there are.
int run_batch(environment& here, batch_words const& words, server_words const& server,
              smtp::options how, letter_parts const& defaults, dkim_key const& signer);

/// The same without a relay, `words.jobs` messages at a time.
int run_direct_batch(environment& here, batch_words const& words, direct_words const& direct,
                     smtp::direct_options how, letter_parts const& defaults,
                     dkim_key const& signer);

/// Prints the messages as an mbox instead.
int print_batch(environment& here, batch_words const& words, letter_parts const& defaults,
                dkim_key const& signer);

} // namespace trawl::cli
