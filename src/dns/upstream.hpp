#pragma once

#include "dns/lane.hpp"

#include <trawl/async.hpp>

#include <memory>
#include <vector>

namespace trawl::dns::detail {

/// One name server: the lanes to it, how fast it answers, and whether it does.
class upstream {
public:
    upstream(asio::any_io_executor executor, name_server where, resolver::options const& how)
        : executor_(std::move(executor)), where_(where), timeout_(how.timeout),
          give_up_(how.deadline) {}

    /// Throws error when the system has no descriptor for another lane.
    void ask(std::shared_ptr<question> asked, std::string const& name, type wanted);

    void heard_answer(question const& asked, time_point now) noexcept;
    /// It is silent while it is asked: other servers are asked first until it is heard again.
    void demote() noexcept { demoted_ = true; }
    bool demoted() const noexcept { return demoted_; }
    bool silent_since(time_point when) const noexcept { return heard_ < when; }
    /// True once in a while, for a server that is demoted: it is worth a question.
    bool probe_due(time_point now) noexcept;

    /// How long to wait for an answer before the question is sent once more (RFC 6298 §2): the whole
    /// timeout until something is known.
    duration patience() const noexcept;
    bool known() const noexcept { return smoothed_ != duration{}; }

    bool edns = true; ///< until it says that it does not understand it

    void cancel() noexcept {
        for (auto const& one : lanes_) one->cancel();
    }
    void close() noexcept { lanes_.clear(); }

private:
    lane& free_lane();

    asio::any_io_executor executor_;
    name_server where_;
    duration timeout_, give_up_;
    std::vector<std::shared_ptr<lane>> lanes_;
    std::size_t current_ = 0;
    time_point heard_{}, next_probe_{};
    duration smoothed_{}, variation_{}; // of the round trips
    bool demoted_ = false;
};

} // namespace trawl::dns::detail
