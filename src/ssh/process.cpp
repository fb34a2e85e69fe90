#include "ssh/channel.hpp"
#include "ssh/session_state.hpp"

namespace trawl::ssh {

using detail::channel;
using detail::open_count;
using detail::overflow;
using detail::session_state;
using detail::state_ptr;
using detail::step;
using detail::step_within;
using detail::transport;

namespace {

using channel_ptr = std::unique_ptr<channel>;

/// What is asked for before the command.
struct launch {
    ssh::variables variables;
    std::optional<ssh::terminal> terminal;
    std::size_t budget;
    overflow rest;
    std::optional<std::chrono::milliseconds> timeout;
};

/// Opens channels of one kind on one session.
struct channel_maker {
    state_ptr self;
    std::shared_ptr<transport> link;
    std::size_t budget;
    overflow rest;
    step when;

    /// Null when the server refuses a channel though it has granted one before.
    awaitable<channel_ptr> attempt() const {
        auto opening = std::make_unique<channel>(link, budget, rest);
        try {
            co_await opening->open(when);
        } catch (failure const& thrown) {
            if (thrown.code() != errc::channel_refused || !self->opened) throw;
            opening.reset();
        }
        co_return opening;
    }

    /// A channel, for which it waits while the server has none to give. Servers with a MaxSessions
    /// below max_channels refuse until one of our commands ends; and sshd counts a channel until it
    /// has dealt with all input at hand, so right after an end it may still refuse. Nothing has run
    /// when a channel is refused.
    awaitable<channel_ptr> open() const {
        auto opening = co_await attempt();
        if (opening) co_return opening;
        auto const turn = co_await self->refused.lock_until(when.deadline); // one asks at a time
        for (int refused = 1; turn; ++refused) {
            opening = co_await attempt();
            if (opening) co_return opening;
            if (self->open > 0) {
                trawl::detail::waiter place(self->ended);
                auto const how = co_await place.wait(when.deadline);
                if (how == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
                if (how == trawl::detail::wake::timed_out) break;
                refused = 0;
            } else if (refused >= 5) {
                throw failure(errc::channel_refused, when.at, self->peer, link->words());
            } else {
                co_await sleep_for(std::chrono::milliseconds(5 << refused));
            }
        }
        throw failure(trawl::errc::timed_out, when.at, self->peer,
                      "the server gives no further channel");
    }
};

} // namespace

struct detail::process_state {
    process_state(state_ptr on, limiter::ticket slot, channel_ptr at, step from)
        : self(std::move(on)), place(std::move(slot)), opened(std::move(at)), counted(*self),
          when(from) {}

    completed result() {
        completed done;
        done.exit_status = opened->exit_status;
        done.exit_signal = std::move(opened->exit_signal);
        done.out = std::move(opened->out.bytes);
        done.err = std::move(opened->err.bytes);
        done.out_truncated = opened->out.truncated;
        done.err_truncated = opened->err.truncated;
        done.elapsed = clock::now() - started;
        return done;
    }

    state_ptr self;
    limiter::ticket place;
    channel_ptr opened;
    open_count counted;
    step when;
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
    auto const link = self->link;
    if (!link) throw failure(errc::not_connected, phase::channel, self->peer, "connect() first");
    auto when = step_within(phase::channel, how.timeout.value_or(self->how.timeouts.exec));
    auto place = co_await self->channels.acquire_until(when.deadline);
    if (!place)
        throw failure(trawl::errc::timed_out, phase::channel, self->peer,
                      "all " + std::to_string(self->channels.limit()) + " channels busy");
    channel_maker const maker{self, link, how.budget, how.rest, when};
    auto opening = co_await maker.open();
    when.at = phase::exec;
    when.idle = self->how.timeouts.idle;
    auto running =
        std::make_unique<detail::process_state>(self, std::move(*place), std::move(opening), when);
    running->started = started;
    co_await ask_for(*self, *running->opened, how, when);
    co_await running->opened->request_exec(std::move(command), when);
    co_return running;
}

awaitable<completed> run_to_end(state_ptr self, std::string command, exec_options how) {
    launch ask{std::move(how.variables), std::move(how.terminal), how.max_output, overflow::drop,
               how.timeout};
    auto const running = co_await launch_command(self, std::move(command), std::move(ask));
    co_await running->opened->feed(std::move(how.input), running->when);
    running->opened->end_input();
    co_await running->opened->finish(running->when);
    co_return running->result();
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

awaitable<bool> process::write(std::string bytes) {
    return state_->opened->feed(std::move(bytes), state_->when);
}

void process::close_input() { state_->opened->end_input(); }

awaitable<std::optional<output_piece>> process::read() {
    return state_->opened->read(state_->when);
}

awaitable<completed> process::wait() {
    state_->opened->drop_output();
    co_await state_->opened->finish(state_->when);
    co_return state_->result();
}

void process::signal(std::string const& name) { state_->opened->signal(name.c_str()); }

void process::resize(unsigned columns, unsigned rows) { state_->opened->resize(columns, rows); }

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
