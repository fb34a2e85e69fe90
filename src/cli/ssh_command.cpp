#include "cli/ssh_command.hpp"

#include "cli/become.hpp"
#include "cli/line_cutter.hpp"

#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <optional>
#include <random>
#include <utility>

namespace trawl::cli {
namespace {

/// One output stream: kept up to a bound, or cut into lines for the sink.
class receiver {
public:
    receiver(ssh::output_stream which, std::size_t most, line_sink const& sink)
        : which_(which), most_(most), sink_(sink) {}

    void take(std::string_view bytes) {
        if (sink_) {
            pass_on(cutter_.take(bytes));
            return;
        }
        auto const room = most_ - kept.size();
        kept.append(bytes.substr(0, room));
        truncated |= bytes.size() > room;
    }
    void finish() {
        if (!cutter_.empty()) pass_on(cutter_.finish());
    }

    std::string kept;
    bool truncated = false;

private:
    void pass_on(std::string const& lines) {
        if (!lines.empty()) sink_(which_, lines);
    }

    ssh::output_stream which_;
    std::size_t most_;
    line_sink const& sink_;
    line_cutter cutter_;
};

class running_command {
public:
    running_command(ssh::process process, ssh_command const& what, std::optional<become> sudo,
                    std::string peer, line_sink const& sink)
        : process_(std::move(process)), what_(what), sudo_(std::move(sudo)), peer_(std::move(peer)),
          out_(ssh::output_stream::out, what.max_output, sink),
          err_(ssh::output_stream::err, what.max_output, sink) {}

    awaitable<ssh::completed> run() {
        // Read and written at once: a command that answers as it reads needs both.
        auto both = [this](task_group& group) -> awaitable<> {
            if (!sudo_) group.spawn_background(feed());
            while (auto piece = co_await process_.read()) {
                if (piece->from == ssh::output_stream::out)
                    out_.take(piece->bytes);
                else if (sudo_)
                    co_await listen(group, std::move(piece->bytes));
                else
                    err_.take(piece->bytes);
            }
        };
        co_await with_group(both);
        if (sudo_) err_.take(sudo_->finish());
        out_.finish(), err_.finish();
        auto done = co_await process_.wait();
        done.out = std::move(out_.kept);
        done.err = std::move(err_.kept);
        done.out_truncated = out_.truncated;
        done.err_truncated = err_.truncated;
        co_return done;
    }

private:
    /// Answers sudo; the command's input follows when the command runs.
    awaitable<> listen(task_group& group, std::string bytes) {
        for (bool more = true; more; bytes.clear()) {
            std::string shown;
            auto const seen = sudo_->take(bytes, shown);
            err_.take(shown);
            if (seen == become::event::prompt) co_await tell_password();
            if (seen == become::event::started) group.spawn_background(feed());
            more = seen != become::event::nothing;
        }
    }

    awaitable<> tell_password() {
        if (!what_.sudo_password)
            throw ssh::failure(ssh::errc::auth_denied, ssh::phase::exec, peer_,
                               "sudo wants a password");
        if (std::exchange(told_, true))
            throw ssh::failure(ssh::errc::auth_denied, ssh::phase::exec, peer_,
                               "sudo refused the password");
        co_await process_.write(*what_.sudo_password);
        co_await process_.write("\n");
    }

    awaitable<> feed() {
        ssh::input_source next;
        if (what_.input) next = what_.input->source();
        while (next) {
            auto piece = co_await next();
            if (piece.empty()) break;
            bool const taken = co_await process_.write(std::move(piece));
            if (!taken) co_return; // it has ended
        }
        process_.close_input();
    }

    ssh::process process_;
    ssh_command const& what_;
    std::optional<become> sudo_;
    std::string peer_;
    bool told_ = false;
    receiver out_, err_;
};

/// 64 bits that a command cannot know.
std::string random_token() {
    std::random_device chance;
    return fmt::format("{:08x}{:08x}", chance(), chance());
}

} // namespace

awaitable<ssh::completed> run_command(ssh::session& host, ssh_command const& what, line_sink sink) {
    std::optional<become> sudo;
    if (what.as_root) sudo.emplace(random_token());
    auto line = sudo ? sudo->wrap(what.line) : what.line;
    auto process = co_await host.start(std::move(line));
    running_command running(std::move(process), what, std::move(sudo), host.peer(), sink);
    co_return co_await running.run();
}

} // namespace trawl::cli
