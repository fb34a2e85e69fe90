#pragma once

#include "json/record.hpp"

#include <trawl/observer.hpp>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace trawl::cli {

/// `bytes` with control characters (and broken UTF-8) as \xNN, so that a remote host cannot drive
/// the terminal. Newline and tab stay.
std::string escaped(std::string_view bytes);

class console;

/// Results on stdout or in a file, a whole record a write. A reader that went away (EPIPE) or a full
/// disk throws std::system_error.
class output {
public:
    /// To stdout. `progress`: whose line is cleared from the terminal before a result is written;
    /// not owned.
    explicit output(console& progress);

    /// From now on results go to `descriptor`, which is not owned and no terminal; errors call it
    /// `name`.
    void redirect(int descriptor, std::string name);

    /// One line of text; the newline is added.
    void line(std::string_view text);
    /// Bytes from a remote host: escaped at a terminal, else as they are.
    void raw(std::string_view bytes);
    /// One line of JSON.
    void record(json::record const& object);
    bool terminal() const noexcept { return terminal_; }

    /// Calls `produce()`; what that writes is collected (but for a terminal) and goes out when
    /// there is a good deal of it, or before the next that is written otherwise. The caller sees to
    /// it that somebody calls flush() within a short time.
    template <class Produce>
    void gather(Produce produce) {
        gathering_ = !terminal_;
        try {
            produce();
        } catch (...) {
            gathering_ = false;
            throw;
        }
        gathering_ = false;
        if (gathered_.size() >= gathered_most) flush();
    }
    /// Writes what has been collected so far, so that it comes before what follows elsewhere.
    void flush();

    static constexpr std::size_t gathered_most = 32768;

private:
    void write(std::string_view bytes);
    console& progress_;
    int descriptor_;
    std::string name_ = "stdout";
    bool terminal_;
    bool gathering_ = false;
    std::string gathered_;
};

/// Everything that is no result, on stderr: warnings always, info with -v, debug with -vv; a
/// progress line when stderr is a terminal.
class console : public observer {
public:
    console(int verbosity, bool quiet);
    void log(severity, std::string_view where, std::string_view text) override;
    void progress(std::string_view what, std::uint64_t done, std::uint64_t total) override;
    void clear_progress();
    /// Text that is not the log's, as it is.
    void write(std::string_view text);
    /// Until let_go(), what would be written to a terminal is kept: the first 1,000 texts of it, and
    /// how many more there were. No progress meanwhile.
    void hold() noexcept { holding_ = terminal_; }
    void let_go();

private:
    int verbosity_;
    bool quiet_, terminal_, drawn_ = false, holding_ = false;
    std::string held_;
    std::size_t held_texts_ = 0;
    std::chrono::steady_clock::time_point next_draw_{};
};

} // namespace trawl::cli
