#pragma once

#include "cli/mail_server.hpp"

#include <string>

namespace trawl::cli {

/// To whom `trawl sendmail` hands its messages.
struct smart_host {
    server_words server;
    std::string domain; ///< of bare names; empty: /etc/mailname
};

/// $TRAWL_SMTP_SERVER; else the keys of `file`, or of the first that there is of
/// $XDG_CONFIG_HOME/trawl/sendmail.toml (~/.config) and /etc/trawl/sendmail.toml; else
/// 127.0.0.1:25. Throws std::runtime_error with place and reason for a file that cannot be read, a
/// key that is not known, and one whose value is no such thing.
smart_host find_smart_host(std::string const& file);

} // namespace trawl::cli
