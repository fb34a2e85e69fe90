#include "ssh/channel.hpp"
#include "ssh/session_state.hpp"

#include <trawl/task_group.hpp>

namespace trawl::ssh {

using detail::channel;
using detail::channel_place;
using detail::overflow;
using detail::session_state;
using detail::state_ptr;
using detail::step;
using detail::step_within;

namespace {

/// What is asked for before the command.
struct launch {
    ssh::variables variables;
    std::optional<ssh::terminal> terminal;
    std::size_t budget;
    overflow rest;
    std::optional<std::chrono::milliseconds> timeout;
};

} // namespace

struct detail::process_state {
    process_state(std::unique_ptr<channel_place> in, launch const& how)
        : place(std::move(in)), opened(place->link(), how.budget, how.rest) {}

    completed result() {
        completed done;
        done.exit_status = opened.exit_status;
        done.exit_signal = std::move(opened.exit_signal);
        done.out = std::move(opened.out.bytes);
        done.err = std::move(opened.err.bytes);
        done.out_truncated = opened.out.truncated;
        done.err_truncated = opened.err.truncated;
        done.elapsed = clock::now() - started;
        return done;
    }

    std::unique_ptr<channel_place> place;
    channel opened;
    step when{phase::channel};
    time_point started = clock::now();
};

namespace {

using process_ptr = std::unique_ptr<detail::process_state>;

awaitable<> ask_for(session_state& self, channel& opened, launch const& how, step when) {
    for (auto const& [name, value] : how.variables)
        if (!co_await opened.request_variable(name, value, when))
            self.log(severity::warning, "the server refuses the variable " + name);
    if (how.terminal) co_await opened.request_terminal(*how.terminal, when);
}

awaitable<process_ptr> launch_command(state_ptr self, std::string command, launch how) {
    auto const started = clock::now();
    auto when = step_within(phase::channel, how.timeout.value_or(self->how.timeouts.exec));
    auto place = co_await detail::reserve_channel(self, when);
    auto running = std::make_unique<detail::process_state>(std::move(place), how);
    running->started = started;
    co_await running->place->open(running->opened.handle(), when);
    when.at = phase::exec;
    when.idle = self->how.timeouts.idle;
    running->when = when;
    co_await ask_for(*self, running->opened, how, when);
    co_await running->opened.request_exec(std::move(command), when);
    co_return running;
}

awaitable<> feed_from(input_source next, channel& opened, step when) {
    for (;;) {
        auto const piece = co_await next();
        if (piece.empty()) break;
        bool const taken = co_await opened.feed(piece, when);
        if (!taken) co_return; // finish() tells why
    }
    opened.end_input();
}

awaitable<completed> run_to_end(state_ptr self, std::string command, exec_options how) {
    launch ask{std::move(how.variables), std::move(how.terminal), how.max_output, overflow::drop,
               how.timeout};
    auto const running = co_await launch_command(self, std::move(command), std::move(ask));
    auto& opened = running->opened;
    bool const more = co_await opened.feed(how.input, running->when);
    if (more && how.source) {
        // A source may wait for ever: the command's end, or its deadline's, ends that too.
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn_background(feed_from(how.source, opened, running->when));
            co_await opened.finish(running->when);
        };
        co_await with_group(both);
    } else {
        opened.end_input();
        co_await opened.finish(running->when);
    }
    co_return running->result();
}

awaitable<bool> feed_all(detail::process_state& self, std::string_view bytes) {
    bool const taken = co_await self.opened.feed(bytes, self.when);
    if (!taken) self.opened.check_connected(self.when.at);
    co_return taken;
}

awaitable<process_ptr> start_held(state_ptr self, std::string command, process_options how) {
    launch ask{std::move(how.variables), std::move(how.terminal),
               std::max<std::size_t>(how.buffer, 1), overflow::hold, how.timeout};
    return launch_command(std::move(self), std::move(command), std::move(ask));
}

} // namespace

process::process(process_ptr state) : state_(std::move(state)) {}
process::process(process&&) noexcept = default;
process& process::operator=(process&&) noexcept = default;
process::~process() = default;

awaitable<bool> process::write(std::string bytes) { co_return co_await feed_all(*state_, bytes); }

awaitable<bool> process::write(secret const& bytes) { return feed_all(*state_, bytes.view()); }

void process::close_input() { state_->opened.end_input(); }

awaitable<std::optional<output_piece>> process::read() { return state_->opened.read(state_->when); }

awaitable<completed> process::wait() {
    state_->opened.drop_output();
    co_await state_->opened.finish(state_->when);
    co_return state_->result();
}

void process::signal(std::string const& name) { state_->opened.signal(name.c_str()); }

void process::resize(unsigned columns, unsigned rows) { state_->opened.resize(columns, rows); }

awaitable<completed> session::exec(std::string command) {
    return run_to_end(state_, std::move(command), exec_options());
}

awaitable<completed> session::exec(std::string command, exec_options how) {
    return run_to_end(state_, std::move(command), std::move(how));
}

awaitable<process> session::start(std::string command) {
    co_return process(co_await start_held(state_, std::move(command), process_options()));
}

awaitable<process> session::start(std::string command, process_options how) {
    co_return process(co_await start_held(state_, std::move(command), std::move(how)));
}

} // namespace trawl::ssh
