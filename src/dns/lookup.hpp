#pragma once

#include "dns/upstream.hpp"
#include "dns/window.hpp"

#include <trawl/detail/parking.hpp>

#include <boost/container/small_vector.hpp>

#include <memory>
#include <string>
#include <vector>

namespace trawl::dns::detail {

/// One name and type on its way to an answer: which server is asked, when it is asked again, when
/// the next one. Whoever waits for it calls advance() when `ready` wakes and when due() comes.
///
///     first server  |--- patience ---|--- twice as long ---|---- ... ----| given up
///     next server                    (timeout, failure or silence) |---- ...
class lookup final : public asker {
public:
    struct options {
        duration timeout{}; ///< of a server that is not known yet
        int tries = 1;
        duration deadline{};
    };

    /// The servers, the place, `ready` and the name outlive it.
    lookup(std::vector<std::unique_ptr<upstream>>& servers, options how, window::place& place,
           trawl::detail::waiter_list& ready, std::string const& name, type wanted);
    lookup(lookup const&) = delete;
    lookup& operator=(lookup const&) = delete;
    ~lookup();

    /// Sends what is due; true when the look-up has ended.
    bool advance(time_point now);
    /// When advance() has something to do although nothing has come in.
    time_point due() const noexcept { return due_; }
    /// Ends it as it is, when its time is up.
    void expire();
    /// Ends it with an answer that is known already.
    void finish(answer known);

    bool ended() const noexcept { return ended_; }
    time_point ended_at() const noexcept { return ended_at_; }
    /// Once it has ended.
    answer& result() noexcept { return result_; }
    bool closed() const noexcept { return closed_; } ///< with the resolver

private:
    void answered(question& asked, int status, bytes packet) noexcept override;
    void read(question& asked, int status, bytes packet);
    void begin(time_point now);
    void choose_order(time_point now);
    void ask_next(time_point now);
    bool attend(question& asked, time_point now);
    void repeat(question& asked, time_point now);
    bool is_time_for_next(question const& asked, time_point now) const;
    void fail(answer failure);
    void end(answer with, time_point now);

    std::vector<std::unique_ptr<upstream>>& servers_;
    options how_;
    window::place& place_;
    trawl::detail::waiter_list& ready_;
    std::string const& name_;
    type wanted_;

    // Servers that are still to be asked, the next one last.
    boost::container::small_vector<std::size_t, 3> order_;
    boost::container::small_vector<std::shared_ptr<question>, 2> asked_;
    time_point began_{}, give_up_{}, due_{}, ended_at_{};
    bool ended_ = false, closed_ = false;
    answer result_, failure_;
};

} // namespace trawl::dns::detail
