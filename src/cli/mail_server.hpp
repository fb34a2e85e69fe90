#pragma once

#include "cli/environment.hpp"

#include <trawl/smtp.hpp>

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace trawl::cli {

/// The server that takes the mail, as the command line or a configuration file says it.
struct server_words {
    std::string server = "127.0.0.1"; ///< HOST, HOST:PORT, or the path of a Unix socket
    std::string tls, ca_file, certificate, key;
    std::vector<std::string> pins;
    std::string user, password_file, token_file, mechanism, helo;
    double timeout = 0; ///< seconds; 0: the library's
    bool lmtp = false, trace = false;
};

/// Declares --server, --tls and what belongs to them on `verb`.
void add_server(CLI::App& verb, server_words& into);

/// Everything but the server's addresses. Throws usage_error for words that do not fit together,
/// error when the file with the secret cannot be read. Blocks while it reads.
smtp::options server_options(server_words const& given, environment& here);

/// `how` with the server's addresses, and with TLS and port as they are usual there.
awaitable<smtp::options> locate(environment& here, server_words given, smtp::options how);

/// Reads the authorities of `ca_file` (empty: the system's) on the pool, so that no connection has to
/// do it on the loop. What is wrong with them is left to that connection to say.
awaitable<> read_authorities(environment& here, std::string ca_file);

/// True for a failure before the server has said a word.
bool is_unreached(error const& e);

} // namespace trawl::cli
