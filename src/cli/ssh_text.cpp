#include "cli/environment.hpp"
#include "cli/ssh_writer.hpp"

#include <fmt/format.h>

#include <unistd.h>

namespace trawl::cli {

void tell_totals(environment& here, ssh_totals const& totals) {
    if (totals.gave_up)
        here.log().log(severity::error, "",
                       fmt::format("gave up: {} of {} hosts are unfinished", totals.unfinished(),
                                   totals.targets));
    if (totals.interrupted || here.words().verbosity > 0)
        here.log().log(severity::error, "",
                       fmt::format("{} of {} hosts ok, {} failed, {} unfinished", totals.ok,
                                   totals.targets, totals.failed, totals.unfinished()));
}

void ssh_writer::finish(ssh_totals const& totals) { tell_totals(here_, totals); }

namespace {

/// What is no output: a status other than 0, a failure.
void tell_end(environment& here, ssh_answer const& answer) {
    if (answer.done && answer.done->exit_status.value_or(0) != 0)
        here.log().log(severity::error, answer.target.to_string(),
                       fmt::format("exit status {}", *answer.done->exit_status));
    if (answer.failed) here.log().log(severity::error, "", answer.failed->what());
}

class text_writer : public ssh_writer {
public:
    text_writer(environment& here, std::size_t max_output)
        : ssh_writer(here), max_output_(max_output) {}

    void host(ssh_answer answer) override {
        auto const name = answer.target.to_string();
        if (auto const& done = answer.done) {
            std::string text;
            add_stream(text, name, "OUT", done->out);
            add_stream(text, name, "ERROR", done->err);
            if (!text.empty()) here_.out().raw(text); // one write: hosts do not mix
            if (done->out_truncated || done->err_truncated)
                here_.log().log(
                    severity::warning, name,
                    fmt::format("more output than {} bytes, the rest was dropped", max_output_));
        }
        tell_end(here_, answer);
    }

private:
    static void add_stream(std::string& text, std::string const& name, char const* kind,
                           std::string const& bytes) {
        if (bytes.empty()) return;
        text += fmt::format("[{}]{}:\n", name, kind);
        text += bytes;
        if (bytes.back() != '\n') text += '\n';
    }

    std::size_t max_output_;
};

class stream_writer : public ssh_writer {
public:
    explicit stream_writer(environment& here)
        : ssh_writer(here), terminal_(::isatty(STDERR_FILENO) == 1) {}

    bool live() const override { return true; }

    void lines(targets::target const& target, ssh::output_stream from,
               std::string_view text) override {
        auto const prefix = target.to_string() + ": ";
        std::string out;
        while (!text.empty()) {
            auto const end = text.find('\n') + 1;
            out.append(prefix).append(text.substr(0, end));
            text.remove_prefix(end);
        }
        if (from == ssh::output_stream::out)
            here_.out().raw(out);
        else
            here_.say(terminal_ ? escaped(out) : out);
    }

    void host(ssh_answer answer) override { tell_end(here_, answer); }

private:
    bool terminal_; // stderr is one
};

} // namespace

std::unique_ptr<ssh_writer> make_ssh_text(environment& here, std::size_t max_output) {
    return std::make_unique<text_writer>(here, max_output);
}

std::unique_ptr<ssh_writer> make_ssh_stream(environment& here) {
    return std::make_unique<stream_writer>(here);
}

} // namespace trawl::cli
