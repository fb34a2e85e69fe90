#pragma once

#include "cli/verb_child.hpp"

namespace trawl::test {

inline ended trawl_ssh(texts words, texts command, run_as how = {}) {
    how.command = std::move(command);
    return run_verb("ssh", cli::add_ssh, std::move(words), std::move(how));
}

struct lab {
    explicit lab(std::string const& more = {}) : server(more) {}

    sshd server;
    scratch folder;
    std::string known = (folder / "known_hosts").string();

    /// Options that get in, and then `more`.
    texts with(texts more) const {
        texts all{"-F",
                  "none",
                  "-i",
                  server.file("user").string(),
                  "-p",
                  std::to_string(server.port()),
                  "-u",
                  sshd::user(),
                  "--known-hosts",
                  known};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

/// A lab whose two addresses are on record.
struct known_lab : lab {
    explicit known_lab(std::string const& more = {}) : lab(more) {
        auto const line = server.known_hosts_line();
        write_text(known, line + "[127.0.0.2]" + line.substr(line.find(':')));
    }
};

} // namespace trawl::test
