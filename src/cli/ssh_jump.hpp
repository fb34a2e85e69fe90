#pragma once

#include <trawl/dns.hpp>
#include <trawl/mutex.hpp>
#include <trawl/ssh.hpp>
#include <trawl/ssh_config.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trawl::cli {

/// The sessions that others go through: each is connected when the first needs it, shared by all
/// who go the same way, and connected again should it have ended.
class ssh_jumps {
public:
    /// How to log in to a hop; its `jump` is not looked at.
    struct hop_login {
        ssh::options how;
        std::string proxy_jump; ///< what the configuration says of the hop itself
    };
    using finder = std::function<awaitable<hop_login>(ssh::jump_host)>;

    ssh_jumps(asio::any_io_executor executor, finder find);

    /// The last session of the way `words` (ProxyJump); null for "none". Throws ssh::failure that
    /// names the hop and `target`, for whom it is.
    awaitable<std::shared_ptr<ssh::session>> to(std::string words, std::string target);

    /// Ends those that nobody goes through any more.
    void leave() { hops_.clear(); }

private:
    using session_ptr = std::shared_ptr<ssh::session>;
    struct hop {
        mutex connecting;
        unsigned attempts = 0;
        session_ptr session;
        std::optional<ssh::failure> failed;
    };

    awaitable<session_ptr> go(std::string words, std::string target, std::vector<std::string> seen);
    awaitable<session_ptr> step(std::string key, hop_login login, session_ptr before,
                                std::string target);
    awaitable<session_ptr> connect(ssh::options how);

    asio::any_io_executor executor_;
    finder find_;
    std::optional<dns::resolver> resolver_; // when it is needed
    std::map<std::string, std::shared_ptr<hop>> hops_;
};

} // namespace trawl::cli
