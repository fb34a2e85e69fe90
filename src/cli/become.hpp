#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trawl::cli {

/// `text` as one word of a POSIX shell.
std::string shell_quoted(std::string_view text);

/// Runs a command as root through sudo: the command line that does so, and what sudo and the
/// command say on stderr, told apart. Takes bytes, waits for nothing.
///
///     sudo asks ── PROMPT on stderr ──> the password goes to its stdin
///     it lets us ── MARK on stderr ──> the command has begun: stdin and stderr are its own
///
/// Without the mark nobody knew whether sudo, which does not ask where it need not, or the command
/// reads stdin: a password sent unasked could end up in the command's input.
class become {
public:
    enum class event {
        nothing,
        prompt,  ///< sudo wants a password
        started, ///< the command runs
    };

    /// `token`: what no command says by chance.
    explicit become(std::string const& token)
        : prompt_("[trawl-sudo-" + token + "]"), mark_("[trawl-runs-" + token + "]") {}

    std::string wrap(std::string_view command) const;

    /// Takes bytes of stderr and appends what is for the user to `shown`. Call it again with no
    /// bytes until it tells of nothing.
    event take(std::string_view bytes, std::string& shown);
    /// What was held back in case it was the beginning of a prompt or mark.
    std::string finish();

private:
    std::size_t undecided() const;

    std::string prompt_, mark_, pending_;
    bool started_ = false;
};

} // namespace trawl::cli
