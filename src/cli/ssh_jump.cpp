#include "cli/ssh_jump.hpp"

#include <algorithm>
#include <utility>

namespace trawl::cli {
namespace {

/// Another try would end as this one: every host behind it need not ask again.
bool is_final(ssh::failure const& why) { return why.at() > ssh::phase::key_exchange; }

std::string text(ssh::options const& how) {
    return how.user + "@" + how.host + ":" + std::to_string(how.port);
}

} // namespace

ssh_jumps::ssh_jumps(asio::any_io_executor executor, finder find)
    : executor_(std::move(executor)), find_(std::move(find)) {}

awaitable<std::shared_ptr<ssh::session>> ssh_jumps::to(std::string words, std::string target) {
    return go(std::move(words), std::move(target), {});
}

/// `seen`: the hops on whose behalf it goes there.
awaitable<ssh_jumps::session_ptr> ssh_jumps::go(std::string words, std::string target,
                                                std::vector<std::string> seen) {
    auto const hops = ssh::parse_jump(words);
    session_ptr last;
    if (!hops || hops->empty()) co_return last;
    std::string way;
    for (auto const& one : *hops) {
        auto login = co_await find_(one);
        if (std::ranges::find(seen, one.host) != seen.end())
            throw ssh::failure(ssh::errc::connect_failed, ssh::phase::connect, target,
                               "the jump host " + one.host + " is reached through itself");
        if (!last) { // only the first goes its own way, as with OpenSSH
            auto before = seen;
            before.push_back(one.host);
            last = co_await go(login.proxy_jump, target, std::move(before));
            way = login.proxy_jump;
        }
        way += "," + text(login.how);
        last = co_await step(way, std::move(login), std::move(last), target);
    }
    co_return last;
}

awaitable<ssh_jumps::session_ptr> ssh_jumps::step(std::string key, hop_login login,
                                                  session_ptr before, std::string target) {
    auto& place = hops_[key];
    if (!place) place = std::make_shared<hop>();
    auto const at = place;
    auto const known = at->attempts;
    auto const turn = co_await at->connecting.lock();
    if (at->session && at->session->connected()) co_return at->session;
    // Who waited while another failed has failed with it.
    bool const tried = at->failed && (at->attempts != known || is_final(*at->failed));
    if (!tried) {
        ++at->attempts;
        at->failed.reset();
        login.how.jump = std::move(before);
        try {
            at->session = co_await connect(std::move(login.how));
        } catch (ssh::failure const& why) {
            at->failed = why;
        }
    }
    if (at->failed) {
        auto const& why = *at->failed;
        auto said = (why.said().empty() ? "" : why.said() + "; ") + "jump host for " + target;
        throw ssh::failure(why.code(), why.at(), why.peer(), std::move(said));
    }
    co_return at->session;
}

awaitable<ssh_jumps::session_ptr> ssh_jumps::connect(ssh::options how) {
    asio::error_code is_name;
    asio::ip::make_address(how.host, is_name);
    if (!how.jump && is_name) {
        if (!resolver_) resolver_.emplace(executor_);
        try {
            how.addresses = co_await resolver_->addresses(how.host);
        } catch (error const& unknown) {
            throw ssh::failure(unknown.code(), ssh::phase::resolve, how.host, unknown.said());
        }
    }
    auto made = std::make_shared<ssh::session>(executor_, std::move(how));
    co_await made->connect();
    co_return made;
}

} // namespace trawl::cli
