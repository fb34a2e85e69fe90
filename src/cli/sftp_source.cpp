#include "cli/sftp_source.hpp"

#include "cli/environment.hpp"

#include <algorithm>
#include <utility>

namespace trawl::cli {
namespace {

sftp_errand the_one(std::vector<sftp_errand> const& said) {
    if (said.size() != 1 || said.front().hosts.size() != 1)
        throw usage_error("copy reads from one host only");
    return said.front();
}

} // namespace

sftp_source::sftp_source(sftp_round& all, std::vector<sftp_errand> const& said) : all_(all) {
    auto const errand = the_one(said);
    at_ = errand.hosts.at(0);
    paths_ = errand.remote;
}

awaitable<sftp::client*> sftp_source::files() {
    auto const held = co_await connecting_.lock();
    if (failed_) std::rethrow_exception(failed_);
    if (!files_) co_await connect();
    co_return &*files_;
}

awaitable<> sftp_source::connect() {
    try {
        auto const how = co_await all_.round->options_for(at_);
        session_.emplace(all_.here.io().get_executor(), how);
        co_await session_->connect();
        // Each host's copy reads through this one client with as many requests as its own.
        auto const jobs = std::min<std::uint64_t>(all_.words.pace.jobs, all_.targets);
        auto const options = sftp_options(all_, std::max<std::uint64_t>(jobs, 1));
        auto opened = co_await sftp::open(*session_, options);
        files_.emplace(std::move(opened));
    } catch (error const&) {
        failed_ = std::current_exception();
    }
    if (failed_) std::rethrow_exception(failed_);
}

void sftp_source::leave() noexcept {
    files_.reset();
    session_.reset();
}

} // namespace trawl::cli
