#pragma once

#include "cli/output.hpp"

#include <trawl/async.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/watchdog.hpp>

#include <asio/io_context.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::cli {

/// Exit codes of the command (DESIGN: "The command line").
enum exit_code : int {
    all_well = 0,
    some_failed = 1,
    usage = 2,
    backup_incomplete = 3,
    nothing_reached = 4,
    no_such_archive = 10,
    locked = 11,
    bad_secret = 12,
    corrupt = 13,
    interrupted = 130,
};

/// The words that every verb shares.
struct settings {
    bool json = false;
    bool quiet = false;
    int verbosity = 0;
    bool stats = false; ///< hold and lag of the loop on stderr (or as a "loop" record with --json)
                        ///< at the end
    std::vector<std::string> command = {}; ///< what followed "--" (trawl ssh)
};

/// A mistake in the command line that only the verb can see: one line on stderr, exit code 2.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What a verb runs in: the loop, its watchdog, the two pools and the way out.
class environment {
public:
    explicit environment(settings words);
    ~environment();

    asio::io_context& io() noexcept { return io_; }
    settings const& words() const noexcept { return words_; }
    output& out() noexcept { return out_; }
    /// To be called before something else is written to the terminal.
    void clear_progress() { console_.clear_progress(); }
    /// To stderr as it is, for a writer's text.
    void say(std::string_view text) { console_.write(text); }
    /// Until take_back_terminal() something is drawn on the terminal: what goes to stderr waits,
    /// should that be a terminal. `give_back` is called when the process ends at once; it must not
    /// throw.
    void lend_terminal(std::function<void()> give_back);
    void take_back_terminal();
    /// For the library's objects: writes warnings (and more with -v) to stderr.
    observer& log() noexcept { return console_; }
    offload_pool& cpu();      ///< hashing, compression; started at first use
    offload_pool& blocking(); ///< files, keys, agents; started at first use

    /// Runs the loop until `body` has ended and returns its value. The first Ctrl-C (or SIGTERM)
    /// cancels `body`, which then writes its summary and returns `exit_code::interrupted`; the
    /// second ends the process at once. An exception that leaves `body` becomes one line on stderr
    /// and `some_failed`.
    int run(awaitable<int> body);
    /// Hold and lag of the loop so far.
    watchdog::report loop() const { return watch_.figures(); }
    bool was_interrupted() const noexcept { return interrupted_; }
    /// `code`, or exit_code::interrupted when Ctrl-C came.
    int outcome(int code) const noexcept {
        return interrupted_ ? static_cast<int>(interrupted) : code;
    }

private:
    void flush_results();

    settings words_;
    asio::io_context io_{1};
    watchdog watch_{io_};
    console console_;
    output out_{console_};
    std::unique_ptr<offload_pool> cpu_, blocking_; // after io_: they end before it
    std::function<void()> give_back_;              // while the terminal is lent
    bool interrupted_ = false;
};

} // namespace trawl::cli
