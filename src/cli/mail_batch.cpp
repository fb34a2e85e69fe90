#include "cli/mail_batch.hpp"

#include "cli/line_reader.hpp"
#include "cli/mail_report.hpp"

#include <trawl/limiter.hpp>
#include <trawl/queue.hpp>
#include <trawl/task_group.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <stop_token>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace trawl::cli {
namespace {

constexpr std::size_t longest_line = std::size_t{16} << 20;
/// What is read before the first of it is sent on.
constexpr std::size_t at_a_time = 64, bytes_at_a_time = std::size_t{1} << 20;
/// Nobody waits longer for an outcome's line.
constexpr duration longest_gathering = std::chrono::milliseconds(50);

/// A line of the input: a message, or what is wrong with it.
struct entry {
    std::uint64_t line = 0;
    std::optional<smtp::outgoing> message;
    std::string fault;
};

/// Messages of the input, a line each.
class batch_reader {
public:
    batch_reader(std::string const& file, letter_parts const& defaults, dkim_key const& signer)
        : name_(file == "-" ? "standard input" : file), defaults_(defaults), signer_(signer) {
        if (file == "-") return;
        opened_ = file_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
        if (file_ < 0) throw error(std::error_code(errno, std::system_category()), file);
        lines_ = line_reader(file_, name_, longest_line);
    }
    batch_reader(batch_reader const&) = delete;
    ~batch_reader() {
        if (opened_ >= 0) ::close(opened_);
    }

    /// What there is to read, one line at least; nothing at the end. Blocks until then, or until
    /// `stop`.
    std::vector<entry> next(std::stop_token const& stop) {
        std::vector<entry> found;
        std::size_t bytes = 0;
        while (found.empty() || (found.size() < at_a_time && bytes < bytes_at_a_time)) {
            if (!lines_.has_line() && (!found.empty() || !wait(stop))) break;
            auto const line = lines_.next();
            if (!line) break;
            bytes += line->size();
            if (skipping_)
                skipping_ = !line->ends_with('\n');
            else if (auto one = read(*line))
                found.push_back(std::move(*one));
        }
        return found;
    }

private:
    bool wait(std::stop_token const& stop) const {
        for (pollfd at{file_, POLLIN, 0}; !stop.stop_requested();)
            if (::poll(&at, 1, 100) != 0) return true; // also for what read() has to say
        return false;
    }

    std::optional<entry> read(std::string_view line) {
        entry one;
        one.line = ++number_;
        if (line.size() >= longest_line && !line.ends_with('\n')) {
            skipping_ = true;
            one.fault = fmt::format("it is longer than {} bytes", longest_line);
            return one;
        }
        if (line.find_first_not_of(" \t\r\n") == line.npos) return std::nullopt;
        try {
            one.message = compose(parse_letter(line, defaults_), signer_);
            one.message->tag = number_;
        } catch (std::exception const& e) {
            one.fault = e.what();
        }
        return one;
    }

    std::string name_;
    letter_parts const& defaults_;
    dkim_key const& signer_;
    int file_ = STDIN_FILENO, opened_ = -1;
    line_reader lines_{file_, name_, longest_line};
    std::uint64_t number_ = 0;
    bool skipping_ = false; ///< the rest of a line that is too long
};

/// One `trawl mail --batch`.
class batch {
public:
    batch(environment& here, batch_words const& words, letter_parts const& defaults,
          dkim_key const& signer)
        : here_(here), words_(words), reader_(words.file, defaults, signer), report_(here),
          ready_(std::max<std::size_t>(words.jobs, 16)) {}

    /// Over connections to one server.
    awaitable<int> run(server_words server, smtp::options how) {
        auto relaying = relay(std::move(server), std::move(how));
        return conclude(std::move(relaying));
    }
    /// To the servers of the recipients' domains.
    awaitable<int> run(direct_words said, smtp::direct_options how) {
        auto delivering = deliver(std::move(said), std::move(how));
        return conclude(std::move(delivering));
    }

private:
    /// Awaits `sending`, and tells what it did not come to.
    awaitable<int> conclude(awaitable<> sending) {
        try {
            auto const body = [&](task_group& group) -> awaitable<> {
                group.spawn_background(flush_on_time());
                co_await std::move(sending);
            };
            co_await with_group(body);
        } catch (error const& e) { // there is no such server
            here_.log().log(severity::error, "", e.what());
            failed_ = true;
            unreached_ = is_unreached(e);
        } catch (std::system_error const& e) {
            if (!is_cancelled(e)) throw;
        }
        while (auto const one = ready_.try_pop()) {
            under_way_.erase(one->tag);
            report_.show(one->tag,
                         everybody(*one, smtp::status::deferred, "stopped before it was sent"));
        }
        for (auto const& [line, sent] : under_way_) report_.show(line, sent);
        int const code = here_.outcome(exit_code());
        report_.summarise(code);
        co_return code;
    }

    int exit_code() const {
        if (denied_ && report_.unheard()) return bad_secret;
        if (unreached_ || report_.unheard()) return nothing_reached;
        return failed_ ? some_failed : all_well;
    }

    void ended(std::uint64_t line, smtp::receipt const& sent) {
        under_way_.erase(line);
        denied_ |= sent.failure == smtp::errc::auth_denied;
        failed_ |= !is_settled(direct_, sent);
        report_.show(line, sent);
    }

    awaitable<> relay(server_words server, smtp::options how) {
        auto located = locate(here_, std::move(server), std::move(how));
        auto to = co_await std::move(located);
        auto const executor = co_await asio::this_coro::executor;
        smtp::pool_options with;
        with.connections = words_.jobs;
        with.messages = words_.per_connection;
        with.per_second = words_.rate;
        smtp::pool pool(executor, std::move(to), with);
        std::function<void(std::uint64_t, smtp::receipt)> const done =
            [this](std::uint64_t line, smtp::receipt sent) { ended(line, sent); };
        auto const body = [&](task_group& group) -> awaitable<> {
            group.spawn(read());
            co_await pool.send_all(ready_, done);
        };
        co_await with_group(body);
        co_await pool.quit();
    }

    awaitable<> deliver(direct_words said, smtp::direct_options how) {
        direct_ = said;
        how.domains = std::max(how.domains, words_.jobs);
        how.each_exchanger.messages = words_.per_connection;
        if (words_.rate > 0) pace_.emplace(words_.rate);
        auto opening = direct_sender::open(here_, std::move(said), std::move(how));
        auto const by = co_await std::move(opening);
        auto const body = [&](task_group& group) -> awaitable<> {
            group.spawn(read());
            for (std::size_t i = 0; i < words_.jobs; ++i) group.spawn(deliver_some(*by));
            co_return;
        };
        co_await with_group(body);
        co_await by->quit();
    }

    awaitable<> deliver_some(direct_sender& by) {
        for (;;) {
            auto one = co_await ready_.pop();
            if (!one) break;
            auto const line = one->tag;
            auto sent = everybody(*one, smtp::status::deferred, "");
            try {
                auto sending = by.send(std::move(*one));
                sent = co_await std::move(sending);
            } catch (error const& e) { // nobody has it
                for (auto& to : sent.recipients) to.text = e.what();
            }
            ended(line, sent);
        }
    }

    awaitable<> read() {
        for (;;) {
            auto work = [this](std::stop_token stop) { return reader_.next(stop); };
            std::vector<entry> found;
            try {
                found = co_await here_.blocking().run(std::move(work));
            } catch (error const& e) { // what was read so far is still sent
                here_.log().log(severity::error, "", e.what());
                failed_ = true;
            }
            if (found.empty()) break;
            for (auto& one : found)
                if (one.message)
                    co_await hand_over(std::move(*one.message));
                else
                    failed_ = true, report_.refuse(one.line, one.fault);
        }
        ready_.close();
    }

    awaitable<> hand_over(smtp::outgoing one) {
        if (pace_) co_await pace_->turn();
        auto const line = one.tag;
        under_way_[line] =
            everybody(one, smtp::status::unknown, "stopped before the server had answered");
        co_await ready_.push(std::move(one));
    }

    awaitable<> flush_on_time() {
        for (;;) {
            co_await sleep_for(longest_gathering);
            here_.out().flush();
        }
    }

    environment& here_;
    batch_words const& words_;
    batch_reader reader_;
    mail_report report_;
    queue<smtp::outgoing> ready_;
    std::map<std::uint64_t, smtp::receipt>
        under_way_;       ///< by line: what is said when we are stopped
    direct_words direct_; ///< without a relay
    std::optional<pacer> pace_;
    bool failed_ = false, unreached_ = false, denied_ = false;
};

/// `text` as an mbox has it (mboxrd): lines that look like its separator are quoted.
std::string mbox(std::string_view text) {
    std::string made = "From trawl Thu Jan  1 00:00:00 1970\n";
    while (!text.empty()) {
        auto const line = text.substr(0, text.find('\n') + 1);
        auto const word = line.find_first_not_of('>');
        if (word != line.npos && line.substr(word).starts_with("From ")) made += '>';
        made += line;
        text.remove_prefix(line.size());
    }
    return made += '\n';
}

} // namespace

int print_batch(environment& here, batch_words const& words, letter_parts const& defaults,
                dkim_key const& signer) {
    batch_reader reader(words.file, defaults, signer);
    mail_report report(here);
    for (auto found = reader.next({}); !found.empty(); found = reader.next({}))
        for (auto const& one : found)
            if (one.message)
                here.out().raw(mbox(shown_text(*one.message)));
            else
                report.refuse(one.line, one.fault);
    return report.all_accepted() ? all_well : some_failed;
}

int run_batch(environment& here, batch_words const& words, server_words const& server,
              smtp::options how, letter_parts const& defaults, dkim_key const& signer) {
    batch all(here, words, defaults, signer);
    return here.run(all.run(server, std::move(how)));
}

int run_direct_batch(environment& here, batch_words const& words, direct_words const& direct,
                     smtp::direct_options how, letter_parts const& defaults,
                     dkim_key const& signer) {
    batch all(here, words, defaults, signer);
    return here.run(all.run(direct, std::move(how)));
}

} // namespace trawl::cli
