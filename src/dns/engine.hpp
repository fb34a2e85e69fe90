#pragma once

#include "dns/cache.hpp"
#include "dns/configuration.hpp"
#include "dns/lookup.hpp"

#include <memory>
#include <string>
#include <vector>

namespace trawl::dns::detail {

/// What the look-ups of a resolver share; it lives as long as one of them.
class engine : public std::enable_shared_from_this<engine> {
public:
    engine(asio::any_io_executor executor, resolver::options const& how);

    /// Ends every look-up.
    void close() noexcept;

    /// The answer to one question, from the cache or a server.
    static awaitable<answer> ask(std::shared_ptr<engine> over, std::string name, type wanted);

    /// Both families of addresses. The second one is given no more than 50 ms when IPv4 has answered.
    struct families {
        answer v4, v6;
    };
    static awaitable<families> ask_both(std::shared_ptr<engine> over, std::string name);

    /// The names that `name` may stand for, in the order in which they are tried (resolv.conf(5)).
    std::vector<std::string> candidates(std::string const& name) const;
    /// True for a name that stands for itself only.
    bool is_exact(std::string_view name) const {
        return !search_ || name.ends_with('.') || configuration_.search.empty();
    }

    std::size_t in_flight() const noexcept { return window_.in_use(); }

private:
    class visit;

    configuration configuration_;
    bool search_;
    lookup::options how_;
    window window_;
    cache cache_;
    std::vector<std::unique_ptr<upstream>> servers_;
    std::size_t visits_ = 0;
    bool closed_ = false;
};

} // namespace trawl::dns::detail
