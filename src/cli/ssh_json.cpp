#include "cli/environment.hpp"
#include "cli/ssh_writer.hpp"

namespace trawl::cli {
namespace {

namespace bj = boost::json;

bj::value describe(std::optional<ssh::failure> const& failed) {
    if (!failed) return nullptr;
    return bj::object{{"code", json::text(failed->word())},
                      {"phase", json::text(ssh::name(failed->at()))},
                      {"message", json::text(failed->what())}};
}

class json_writer : public ssh_writer {
public:
    json_writer(environment& here, bool live) : ssh_writer(here), live_(live) {}

    bool live() const override { return live_; }

    void lines(targets::target const& target, ssh::output_stream from,
               std::string_view text) override {
        auto const name = target.to_string();
        while (!text.empty()) {
            auto const end = text.find('\n');
            here_.out().record(
                json::record("line", "ssh")
                    .field("target", name)
                    .field("stream", from == ssh::output_stream::out ? "stdout" : "stderr")
                    .field("text", text.substr(0, end)));
            text.remove_prefix(end + 1);
        }
    }

    void host(ssh_answer answer) override {
        ssh::completed const nothing;
        auto const& seen = answer.done ? *answer.done : nothing;
        bj::value address, status, signal;
        if (answer.address) address = json::text(answer.address->to_string());
        if (seen.exit_status) status = *seen.exit_status;
        if (!seen.exit_signal.empty()) signal = json::text(seen.exit_signal);
        here_.out().record(json::record("host", "ssh")
                               .field("target", answer.target.to_string())
                               .field("address", address)
                               .field("status", answer.failed ? "failed" : "ok")
                               .field("exit_status", status)
                               .field("exit_signal", signal)
                               .field("stdout", seen.out)
                               .field("stderr", seen.err)
                               .field("stdout_truncated", bj::value(seen.out_truncated))
                               .field("stderr_truncated", bj::value(seen.err_truncated))
                               .field("error", describe(answer.failed))
                               .field("attempts", answer.attempts)
                               .field("elapsed", answer.elapsed));
    }

    void finish(ssh_totals const& totals) override {
        here_.out().record(json::record("summary", "ssh")
                               .field("targets", totals.targets)
                               .field("ok", totals.ok)
                               .field("failed", totals.failed)
                               .field("unfinished", totals.unfinished())
                               .field("nonzero", totals.nonzero)
                               .field("elapsed", totals.elapsed)
                               .field("exit", totals.exit_code));
    }

private:
    bool live_;
};

} // namespace

std::unique_ptr<ssh_writer> make_ssh_json(environment& here, bool live) {
    return std::make_unique<json_writer>(here, live);
}

} // namespace trawl::cli
