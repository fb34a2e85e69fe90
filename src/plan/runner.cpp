#include "plan/credentials.hpp"
#include "plan/report.hpp"

#include <trawl/dns.hpp>
#include <trawl/fair_share.hpp>
#include <trawl/icmp.hpp>
#include <trawl/limiter.hpp>
#include <trawl/net.hpp>
#include <trawl/plan.hpp>
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace trawl::plan {
namespace {

/// An address that answered, on its way from the sweep to the fan-out.
struct found {
    std::string target, host;
    asio::ip::address address;
    std::optional<duration> rtt;
};

} // namespace

struct runner::state {
    state(job what, services with) : plan(std::move(what)), services(with) {
        if (plan.sweep) totals.targets = plan.sweep->targets.size();
    }

    // ---- results ----

    void done(host_result const& result) {
        switch (result.status) {
        case status::ok: ++totals.ok; break;
        case status::failed: ++totals.failed; break;
        case status::down: ++totals.down; break;
        case status::unreachable: ++totals.unreachable; break;
        case status::unknown: ++totals.unknown; break;
        }
        ++ended;
        report.add(result);
        services.results.host(result);
        if (services.watch) services.watch->progress("hosts", ended, totals.targets);
    }

    void done(found const& host, status what, std::string why = {}) {
        host_result result;
        result.target = host.target;
        result.address = host.address.is_unspecified() ? "" : host.address.to_string();
        result.status = what;
        result.rtt = host.rtt;
        result.error = std::move(why);
        if (!result.error.empty()) result.error_code = "resolve", result.error_phase = "resolve";
        done(result);
    }

    // ---- sweep ----

    static status of(icmp::status seen) {
        switch (seen) {
        case icmp::status::up: return status::ok;
        case icmp::status::down: return status::down;
        case icmp::status::unreachable: return status::unreachable;
        case icmp::status::unknown: break;
        }
        return status::unknown;
    }

    awaitable<> up(found host) {
        if (plan.ssh)
            co_await alive.push(std::move(host));
        else
            done(host, status::ok);
    }

    awaitable<> sweep_addresses(icmp::pinger& pinger) {
        icmp::sweep::options how;
        how.timeout = plan.sweep->timeout;
        how.retries = plan.sweep->retries;
        how.rate = plan.sweep->rate;
        how.skip_names = true;
        icmp::sweep sweep(pinger, plan.sweep->targets, how);
        while (auto seen = co_await sweep.next()) {
            found host;
            host.target = host.host = seen->address.to_string();
            host.address = seen->address;
            host.rtt = seen->rtt;
            if (seen->status == icmp::status::up)
                co_await up(std::move(host));
            else
                done(host, of(seen->status));
        }
    }

    awaitable<> probe_name(icmp::pinger& pinger, dns::resolver& names, targets::target target,
                           limiter::ticket place) {
        found host;
        host.target = target.to_string();
        host.host = target.host();
        std::string why;
        try {
            auto const addresses = co_await names.addresses(host.host);
            host.address = addresses.front();
        } catch (error const& e) {
            why = e.what();
        }
        if (!why.empty()) {
            done(host, status::unknown, std::move(why));
            co_return;
        }
        for (unsigned tries = 0; tries <= plan.sweep->retries && !host.rtt; ++tries) {
            auto const answer = co_await pinger.probe(host.address);
            if (answer) host.rtt = answer->rtt;
        }
        place.release();
        if (host.rtt)
            co_await up(std::move(host));
        else
            done(host, status::down);
    }

    awaitable<> sweep_names(icmp::pinger& pinger) {
        auto executor = co_await asio::this_coro::executor;
        dns::resolver names(executor);
        limiter places(100);
        auto each = [&](task_group& group) -> awaitable<> {
            targets::cursor all(plan.sweep->targets);
            while (auto target = all.next()) {
                if (all.position() % 1024 == 0) co_await yield();
                if (target->address) continue;
                auto place = co_await places.acquire();
                group.spawn(probe_name(pinger, names, std::move(*target), std::move(place)));
            }
        };
        co_await with_group(each);
    }

    awaitable<> sweep() {
        auto executor = co_await asio::this_coro::executor;
        icmp::pinger::options engine;
        engine.timeout = plan.sweep->timeout;
        engine.watch = services.watch;
        icmp::pinger pinger(executor, engine);
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn(sweep_addresses(pinger));
            if (plan.sweep->targets.has_names()) group.spawn(sweep_names(pinger));
            co_return;
        };
        co_await with_group(both);
        alive.close();
    }

    // ---- ssh ----

    awaitable<> run_commands(ssh::session& session, host_result& result) {
        co_await session.connect();
        for (auto const& command : plan.ssh->commands) {
            ssh::exec_options how;
            how.max_output = plan.ssh->max_output;
            auto end = co_await session.exec(command, how);
            ++totals.commands;
            if (end.exit_status != 0) ++totals.commands_failed;
            result.commands.push_back({command, std::move(end)});
        }
        co_await session.disconnect();
        result.status = status::ok;
    }

    ssh::options session_options(ssh_section const& said, credentials const& who) const {
        ssh::options how;
        how.port = said.port;
        how.user = who.user;
        how.identities = {who.identity};
        how.password = who.password;
        how.known = who.known;
        how.policy = said.host_key;
        how.timeouts.connect = how.timeouts.handshake = how.timeouts.auth = how.timeouts.exec =
            said.timeout;
        how.log = services.watch;
        return how;
    }

    awaitable<> inspect(found host, limiter::ticket place) {
        auto const start = clock::now();
        auto executor = co_await asio::this_coro::executor;
        auto how = session_options(*plan.ssh, access);
        how.host = host.host;
        how.addresses = {host.address};
        ssh::session session(executor, std::move(how));
        host_result result;
        result.target = host.target;
        result.address = host.address.to_string();
        result.rtt = host.rtt;
        try {
            co_await run_commands(session, result);
        } catch (ssh::failure const& e) {
            result.status = status::failed;
            result.error_code = e.word();
            result.error_phase = ssh::name(e.at());
            result.error = e.what();
        }
        result.elapsed = clock::now() - start;
        place.release();
        done(result);
    }

    awaitable<> fan_out() {
        limiter sessions(plan.ssh->jobs);
        auto each = [&](task_group& group) -> awaitable<> {
            while (auto host = co_await alive.pop()) {
                auto place = co_await sessions.acquire();
                group.spawn(inspect(std::move(*host), std::move(place)));
                co_await yield(); // a start opens a socket: a hundred in one turn hold the loop
            }
        };
        co_await with_group(each);
    }

    // ---- backups ----

    awaitable<backup::report> back_up_here(backup::options how, std::filesystem::path key_file) {
        if (!key_file.empty()) {
            auto read = [&] { return backup::store_key::load(key_file); };
            auto key = co_await services.blocking.run(read);
            if (!how.store) how.store = backup::local_store(how.destination);
            how.store = backup::encrypted_store(std::move(how.store), std::move(key));
        }
        co_return co_await backup::run(services.cpu, std::move(how));
    }

    /// Into a folder of a server, on a session of its own.
    awaitable<backup::report> back_up_to(sftp_place place, ssh_section login, backup::options how,
                                         std::filesystem::path key) {
        auto executor = co_await asio::this_coro::executor;
        auto read = [&] { return load_credentials(login, services.watch); };
        auto const who = co_await services.blocking.run(read);
        dns::resolver names(executor);
        auto to = session_options(login, who);
        to.host = place.host;
        to.addresses = co_await names.addresses(place.host);
        ssh::session session(executor, std::move(to));
        co_await session.connect();
        sftp::options files_how;
        files_how.blocking = &services.blocking;
        auto files = co_await sftp::open(session, files_how);
        how.store = sftp_store(executor, files, place);
        auto made = co_await back_up_here(std::move(how), std::move(key));
        co_await session.disconnect();
        co_return made;
    }

    awaitable<backup::report> back_up_anywhere(backup_section how) {
        if (how.server) return back_up_to(*how.server, how.login, how, how.encrypt);
        return back_up_here(how, how.encrypt);
    }

    awaitable<> back_up(backup_section how) {
        auto const name = how.name.empty() ? how.source.filename().string() : how.name;
        how.watch = nullptr; // the progress line belongs to the hosts
        std::string why;
        try {
            auto const made = co_await back_up_anywhere(std::move(how));
            ++totals.archives;
            if (!made.errors.empty()) ++totals.archives_incomplete;
            report.add(name, made);
            services.results.archive(name, made);
        } catch (std::system_error const& e) {
            if (is_cancelled(e)) throw;
            why = e.what();
        }
        if (why.empty()) co_return;
        ++totals.archives_failed;
        report.add(name, why);
        services.results.archive_failed(name, why);
    }

    awaitable<> back_up_all() {
        for (auto const& one : plan.backups) co_await back_up(one);
    }

    // ---- mail ----

    awaitable<smtp::receipt> send(mime::message letter) {
        auto const& mail = *plan.mail;
        auto executor = co_await asio::this_coro::executor;
        dns::resolver names(executor);
        smtp::options how;
        how.addresses = co_await names.addresses(mail.host);
        how.host = mail.host;
        how.port = mail.port;
        auto const loopback = [](asio::ip::address const& a) { return a.is_loopback(); };
        bool const local = std::all_of(how.addresses.begin(), how.addresses.end(), loopback);
        how.tls = mail.tls.value_or(local ? smtp::tls::none : smtp::tls::required);
        how.ca_file = mail.ca_file;
        how.user = mail.user;
        if (!mail.password_file.empty()) {
            auto read = [&mail] { return net::read_secret_file(mail.password_file); };
            how.password = co_await services.blocking.run(read);
        }
        if (how.tls == smtp::tls::required || how.tls == smtp::tls::implicit) {
            auto load = [&mail] { net::load_authorities(mail.ca_file); };
            co_await services.blocking.run(load);
        }
        smtp::client relay(executor, std::move(how));
        auto sent = co_await relay.send(std::move(letter));
        co_await relay.quit();
        co_return sent;
    }

    awaitable<> mail_report() {
        auto letter = report.letter(plan.mail->subject, snapshot());
        letter.from(plan.mail->from);
        for (auto const& to : plan.mail->to) letter.to(to);
        smtp::receipt sent;
        std::string why;
        try {
            sent = co_await send(letter);
        } catch (std::system_error const& e) {
            if (is_cancelled(e)) throw;
            why = e.what();
        }
        if (!why.empty()) { // nothing was delivered, and nobody refused it
            sent.message_id = letter.message_id();
            for (auto const& to : letter.envelope().recipients)
                sent.recipients.push_back({to, smtp::status::deferred, 0, "", why});
        }
        totals.mails_accepted += sent.count(smtp::status::accepted);
        totals.mails_failed += sent.recipients.size() - sent.count(smtp::status::accepted);
        services.results.mailed(sent);
    }

    // ---- the whole ----

    awaitable<> hosts() {
        auto executor = co_await asio::this_coro::executor;
        if (plan.ssh) {
            auto read = [this] { return load_credentials(*plan.ssh, services.watch); };
            access = co_await services.blocking.run(read);
        }
        fair_share const for_sweep(executor), for_ssh(executor);
        auto both = [&](task_group& group) -> awaitable<> {
            group.spawn(for_sweep.run(sweep()));
            if (plan.ssh) group.spawn(for_ssh.run(fan_out()));
            co_return;
        };
        co_await with_group(both);
    }

    awaitable<> run() {
        began = clock::now();
        fair_share const for_backups(co_await asio::this_coro::executor);
        auto all = [&](task_group& group) -> awaitable<> {
            if (plan.sweep) group.spawn(hosts());
            group.spawn(for_backups.run(back_up_all()));
            co_return;
        };
        co_await with_group(all);
        if (plan.mail) co_await mail_report();
        ended_at = clock::now();
    }

    summary snapshot() const {
        auto s = totals;
        s.unknown = s.targets - s.ok - s.failed - s.down - s.unreachable;
        s.elapsed = (ended_at ? *ended_at : clock::now()) - began;
        return s;
    }

    job plan;
    runner::services services;
    plan::report report;
    summary totals;
    std::uint64_t ended = 0;
    time_point began = clock::now();
    std::optional<time_point> ended_at;
    queue<found> alive{256};
    credentials access;
};

runner::runner(job what, services with) : state_(std::make_unique<state>(std::move(what), with)) {}
runner::~runner() = default;
awaitable<> runner::run() { return state_->run(); }
summary runner::totals() const { return state_->snapshot(); }

std::string_view to_string(status s) noexcept {
    switch (s) {
    case status::ok: return "ok";
    case status::failed: return "failed";
    case status::down: return "down";
    case status::unreachable: return "unreachable";
    case status::unknown: return "unknown";
    }
    return "unknown";
}

namespace {

class plan_errors final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.plan"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::bad_plan: return "not a plan";
        case errc::password_command: return "no password";
        }
        return "unknown error " + std::to_string(value);
    }
};

} // namespace

std::error_category const& category() noexcept {
    static plan_errors const instance;
    return instance;
}
std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

} // namespace trawl::plan
