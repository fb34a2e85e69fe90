#include "cli/ssh_job.hpp"

#include <string>
#include <utility>

namespace trawl::cli {
namespace {

ssh::failure without_status(targets::target const& target, ssh::completed const& done) {
    auto said = done.exit_signal.empty() ? std::string("the command ended without a status")
                                         : "the command was ended by SIG" + done.exit_signal;
    return {ssh::errc::no_status, ssh::phase::exec, target.to_string(), std::move(said)};
}

class command_job : public host_job {
public:
    command_job(targets::target at, ssh_command const& what, ssh_writer& writer)
        : at_(std::move(at)), what_(what), writer_(writer) {}

    awaitable<> work(ssh::session& on) override {
        line_sink sink;
        if (writer_.live())
            sink = [this](ssh::output_stream from, std::string_view lines) {
                writer_.lines(at_, from, lines);
            };
        done_ = co_await run_command(on, what_, std::move(sink));
        if (!done_->exit_status) throw without_status(at_, *done_);
    }

    outcome ended(host_visit how) override {
        ssh_answer answer{.target = std::move(how.target)};
        answer.address = how.address;
        answer.failed = std::move(how.failed);
        answer.done = std::move(done_);
        answer.elapsed = how.elapsed;
        answer.attempts = how.attempts;
        auto const end = answer.failed   ? outcome::failed
                         : answer.good() ? outcome::good
                                         : outcome::nonzero;
        writer_.host(std::move(answer));
        return end;
    }

private:
    targets::target at_;
    ssh_command const& what_;
    ssh_writer& writer_;
    std::optional<ssh::completed> done_;
};

} // namespace

std::unique_ptr<host_job> make_command_job(targets::target const& at, ssh_command const& what,
                                           ssh_writer& writer) {
    return std::make_unique<command_job>(at, what, writer);
}

} // namespace trawl::cli
