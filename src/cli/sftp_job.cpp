#include "cli/sftp_job.hpp"

#include "cli/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace trawl::cli {
namespace {

/// Why a host failed, for its record.
struct problem {
    std::string code, phase, message;
};

class sftp_job : public host_job {
public:
    sftp_job(sftp_round& all, sftp_work work, targets::target at)
        : all_(all), work_(std::move(work)), at_(std::move(at)) {}

    awaitable<> work(ssh::session& on) override {
        try {
            auto const hosts = std::min<std::uint64_t>(all_.words.pace.jobs, all_.targets);
            auto options = sftp_options(all_, hosts);
            auto files = co_await sftp::open(on, std::move(options));
            auto how = copy_options();
            co_await work_(files, std::move(how), at_);
        } catch (ssh::failure const& why) {
            // `copy` reads from another host, whose failure is not this one's to be tried again.
            if (why.peer() == on.peer()) throw;
            problem_ = problem{std::string(why.word()), "source", why.what()};
        } catch (sftp::failure const& why) {
            problem_ = problem{std::string(why.word()), "sftp", why.what()};
        } catch (error const& why) {
            problem_ = problem{"system", "local", why.what()};
        } catch (std::filesystem::filesystem_error const& why) {
            problem_ = problem{"system", "local", why.what()};
        }
        if (!problem_) co_await on.disconnect();
    }

    outcome ended(host_visit how) override {
        all_.files += done_.files, all_.bytes += done_.bytes;
        if (how.failed)
            problem_ = problem{std::string(how.failed->word()),
                               std::string(ssh::name(how.failed->at())), how.failed->what()};
        if (all_.here.words().json)
            show_record(how);
        else
            show_text();
        return problem_ ? outcome::failed : outcome::good;
    }

private:
    sftp_copy copy_options() {
        sftp_copy job;
        job.blocking = &all_.here.blocking();
        job.how.recursive = all_.words.recursive, job.how.preserve = all_.words.preserve;
        job.how.resume = all_.words.resume, job.how.sync = all_.words.sync;
        job.progress = [this](sftp::transferred const& done) {
            done_ = done;
            if (all_.targets == 1) all_.here.log().progress("bytes", done.bytes, 0);
        };
        job.alike = [this](sftp::synced const& sum) { done_ = sum, synced_ = sum; };
        return job;
    }

    void show_record(host_visit const& how) const {
        namespace bj = boost::json;
        bj::value reason, at;
        if (problem_)
            reason = bj::object{{"code", json::text(problem_->code)},
                                {"phase", json::text(problem_->phase)},
                                {"message", json::text(problem_->message)}};
        if (how.address) at = json::text(how.address->to_string());
        json::record told("host", "sftp");
        told.field("target", at_.to_string())
            .field("address", at)
            .field("status", problem_ ? "failed" : "ok")
            .field("files", done_.files)
            .field("bytes", done_.bytes)
            .field("skipped", done_.skipped);
        if (synced_)
            told.field("unchanged", synced_->unchanged)
                .field("set", synced_->set)
                .field("removed", synced_->removed)
                .field("dry_run", all_.words.dry_run);
        all_.here.out().record(told.field("error", reason)
                                   .field("attempts", how.attempts)
                                   .field("elapsed", how.elapsed));
    }

    void show_text() const {
        auto const name = at_.to_string();
        if (done_.skipped > 0)
            all_.here.log().log(severity::warning, name,
                                fmt::format("{} not copied: neither files nor folders, or links "
                                            "to folders",
                                            done_.skipped));
        if (problem_)
            all_.here.log().log(severity::error, name, problem_->message);
        else if (!all_.lists)
            all_.here.out().line(
                fmt::format("{}: {} files, {} bytes{}", name, done_.files, done_.bytes, more()));
    }

    /// What only a sync has to tell.
    std::string more() const {
        if (!synced_) return {};
        return fmt::format(", {} unchanged, {} set, {} removed{}", synced_->unchanged, synced_->set,
                           synced_->removed, all_.words.dry_run ? " (nothing was done)" : "");
    }

    sftp_round& all_;
    sftp_work work_;
    targets::target at_;
    sftp::transferred done_;
    std::optional<sftp::synced> synced_;
    std::optional<problem> problem_;
};

} // namespace

sftp::options sftp_options(sftp_round const& all, std::uint64_t clients) {
    sftp::options how;
    how.blocking = &all.here.blocking();
    if (all.words.login.timeout > 0)
        how.timeout =
            std::chrono::milliseconds(static_cast<std::int64_t>(all.words.login.timeout * 1000));
    // Bytes in flight are bounded over all hosts: 64 MiB, and no more than 2 MiB for one.
    constexpr std::uint64_t most = 2048;
    how.requests = std::clamp<std::uint64_t>(most / clients, 4, 64);
    return how;
}

std::unique_ptr<host_job> make_sftp_job(sftp_round& all, sftp_work work, targets::target at) {
    return std::make_unique<sftp_job>(all, std::move(work), std::move(at));
}

} // namespace trawl::cli
