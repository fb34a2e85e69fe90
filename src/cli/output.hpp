#pragma once

#include "json/record.hpp"

#include <trawl/observer.hpp>

#include <string>
#include <string_view>

namespace trawl::cli {

/// `bytes` with control characters (and broken UTF-8) as \xNN, so that a remote host cannot drive
/// the terminal. Newline and tab stay.
std::string escaped(std::string_view bytes);

/// Results on stdout, a whole record a write. A reader that went away (EPIPE) throws
/// std::system_error.
class output {
public:
    output();
    void line(std::string_view text); ///< one line of text, newline added
    void raw(std::string_view
                 bytes); ///< bytes from a remote host: escaped at a terminal, else as they are
    void record(json::record const& object); ///< one line of JSON
    bool terminal() const noexcept { return terminal_; }

private:
    void write(std::string_view bytes);
    bool terminal_;
};

/// Everything that is no result, on stderr: warnings always, info with -v, debug with -vv; a
/// progress line when stderr is a terminal.
class console : public observer {
public:
    console(int verbosity, bool quiet);
    void log(severity, std::string_view where, std::string_view text) override;
    void progress(std::string_view what, std::uint64_t done, std::uint64_t total) override;
    void clear_progress();

private:
    int verbosity_;
    bool quiet_, terminal_, drawn_ = false;
    std::int64_t next_draw_ = 0;
};

} // namespace trawl::cli
