#pragma once

#include "cli/environment.hpp"
#include "cli/live_screen.hpp"

#include <asio/signal_set.hpp>

#include <memory>
#include <optional>
#include <string_view>

namespace trawl::cli {

/// The terminal's second screen (xterm's 1049) while a run is drawn: the first one comes back, with
/// its cursor, at close(), at the end of this object, and before the process stops (Ctrl-Z) or
/// leaves at once (a second Ctrl-C). What is logged meanwhile is told afterwards.
///
/// A terminal that cannot move its cursor (TERM=dumb) gets the last picture only. A terminal that
/// does not keep up, or is stopped (Ctrl-S), misses pictures and holds nothing up.
class live_terminal final : public live_screen {
public:
    /// stdout, else stderr, whichever is a terminal.
    static std::optional<int> find();

    /// `env` outlives it; `descriptor` is not owned.
    live_terminal(environment& env, int descriptor);
    live_terminal(live_terminal const&) = delete;
    live_terminal& operator=(live_terminal const&) = delete;
    ~live_terminal() override;

    live_look look() const override;
    void show(std::string_view picture) override;
    void close(std::string_view picture) override;

private:
    void leave() noexcept;
    void give_back() noexcept;
    void heed_signals();
    struct canvas;

    environment& env_;
    int descriptor_;
    bool moves_, entered_ = false;
    live_look drawn_{.columns = 0, .rows = 0}; ///< what the last picture was drawn for
    asio::signal_set signals_;
    std::shared_ptr<canvas> canvas_; ///< null: frames are written as everything else is
};

} // namespace trawl::cli
