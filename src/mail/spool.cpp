#include "mail/spool_files.hpp"

#include <trawl/smtp_spool.hpp>
#include <trawl/task_group.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace trawl::smtp {

using detail::entry_file;
using detail::spool_folder;
using detail::spooled;

struct spool::state {
    state(offload_pool& on, spool_options with)
        : files(on), how(std::move(with)), folder(how.folder) {}

    std::int64_t now() const {
        return std::chrono::duration_cast<std::chrono::seconds>(how.now().time_since_epoch())
            .count();
    }
    awaitable<std::unique_ptr<entry_file>> open(std::string name);
    awaitable<std::optional<receipt>> attempt(std::string name, direct& by, bool due_only);
    std::vector<recipient> conclude(entry_file& file, std::vector<std::size_t> const& tried,
                                    std::vector<recipient> answers, std::string& lines) const;
    awaitable<> settle(entry_file& file, std::string lines);

    offload_pool& files;
    spool_options how;
    spool_folder folder;
};

spool::spool(offload_pool& files, spool_options how)
    : state_(std::make_unique<state>(files, std::move(how))) {}
spool::~spool() = default;

namespace {

/// Writes down what direct tells, the recipients of an attempt by their numbers in the file.
class notes : public journal {
public:
    notes(entry_file& file, offload_pool& files, std::vector<std::size_t> numbers)
        : file_(file), files_(files), lane_(files.make_strand()), numbers_(std::move(numbers)),
          open_(numbers_.size()) {}

    awaitable<> sending(std::vector<std::size_t> recipients) override {
        std::vector<std::size_t> numbers;
        for (auto const i : recipients) numbers.push_back(numbers_[i]);
        co_await write(detail::sending_line(numbers));
        for (auto const i : recipients) open_[i] = true;
    }
    awaitable<> answered(std::vector<std::size_t> recipients,
                         std::vector<recipient> answers) override {
        std::string lines;
        for (std::size_t i = 0; i < recipients.size(); ++i)
            lines += detail::answer_line(numbers_[recipients[i]], answers[i]);
        co_await write(std::move(lines));
        for (auto const i : recipients) open_[i] = false;
    }
    /// A transaction with this one has begun, and no answer is written down.
    bool is_open(std::size_t recipient) const { return open_[recipient]; }

private:
    /// Several domains may answer at a time; what they said is kept though it is time to stop.
    awaitable<> write(std::string lines) {
        auto work = [this, lines = std::move(lines)] { file_.append(lines); };
        auto writing = files_.run(lane_, std::move(work));
        co_await shielded(std::move(writing));
    }

    entry_file& file_;
    offload_pool& files_;
    offload_pool::strand lane_;
    std::vector<std::size_t> numbers_;
    std::vector<bool> open_;
};

} // namespace

awaitable<std::string> spool::put(outgoing one) {
    auto& self = *state_;
    auto entry = detail::spool_entry_of(one, self.now());
    auto work = [&self, entry = std::move(entry)] { return self.folder.add(entry); };
    auto adding = self.files.run(std::move(work));
    co_return co_await std::move(adding);
}

/// nullptr when there is nothing to send.
awaitable<std::unique_ptr<entry_file>> spool::state::open(std::string name) {
    struct result {
        std::unique_ptr<entry_file> file;
        spool_folder::state found = spool_folder::state::absent;
        std::string why;
    };
    auto work = [this, name] {
        result made;
        made.found = folder.open(name, made.file, made.why);
        return made;
    };
    auto opening = files.run(std::move(work));
    auto made = co_await std::move(opening);
    if (made.found == spool_folder::state::corrupt && how.watch)
        how.watch->log(severity::warning, "spool " + (how.folder / "corrupt" / name).string(),
                       "moved aside: " + made.why);
    co_return std::move(made.file);
}

/// Turns the answers of an attempt into the lines that end it.
std::vector<recipient> spool::state::conclude(entry_file& file,
                                              std::vector<std::size_t> const& tried,
                                              std::vector<recipient> answers,
                                              std::string& lines) const {
    auto& entry = file.entry;
    bool const last = detail::has_expired(how.schedule, entry.created, now());
    for (std::size_t i = 0; i < tried.size(); ++i) {
        auto& answer = answers[i];
        if (last && answer.status == status::deferred)
            answer = {
                answer.address, status::refused, 0, "5.4.7",
                fmt::format("given up after {} attempts: {}", entry.attempts + 1, answer.text)};
        lines += detail::answer_line(tried[i], answer);
        entry.recipients[tried[i]] = answer;
    }
    ++entry.attempts;
    entry.next = detail::next_attempt(how.schedule, entry.attempts, now());
    lines += detail::next_line(entry.next, entry.attempts);
    return answers;
}

/// Writes `lines`, and ends the message when nobody waits any more.
awaitable<> spool::state::settle(entry_file& file, std::string lines) {
    auto work = [this, &file, lines = std::move(lines)] {
        try {
            file.append(lines);
        } catch (error const&) { // a full disk still takes the time of the next attempt
            file.set_due(file.entry.next);
            throw;
        }
        if (file.entry.waiting().empty())
            folder.finish(file, !file.entry.all_accepted());
        else
            file.set_due(file.entry.next);
    };
    auto writing = files.run(std::move(work));
    co_await std::move(writing);
}

awaitable<std::optional<receipt>> spool::state::attempt(std::string name, direct& by,
                                                        bool due_only) {
    auto const file = co_await open(std::move(name));
    if (!file) co_return std::nullopt;
    auto& entry = file->entry;
    if (due_only && entry.next > now() && !entry.waiting().empty()) {
        co_await settle(*file, ""); // only its time had not been written
        co_return std::nullopt;
    }
    receipt made;
    made.message_id = entry.message_id;
    std::string lines;
    // What was under way when its process died is told once.
    for (auto const i : entry.interrupted) {
        made.recipients.push_back(entry.recipients[i]);
        lines += detail::answer_line(i, entry.recipients[i]);
    }
    auto const tried = entry.waiting();
    if (!tried.empty()) {
        outgoing one;
        one.message_id = entry.message_id;
        one.envelope.sender = entry.sender;
        for (auto const i : tried) one.envelope.recipients.push_back(entry.recipients[i].address);
        one.parameters = entry.parameters;
        one.content = [&entry](mime::transport way) {
            return mime::content(entry.text_for(way)).open();
        };
        notes written(*file, files, tried);
        std::vector<recipient> heard;
        try {
            auto sending = by.send(std::move(one), written);
            auto done = co_await std::move(sending);
            heard = std::move(done.recipients);
        } catch (error const& e) { // counts as an attempt, so that the next one is later
            for (std::size_t i = 0; i < tried.size(); ++i)
                heard.push_back({entry.recipients[tried[i]].address,
                                 written.is_open(i) ? status::unknown : status::deferred, 0, "",
                                 e.what()});
        }
        auto answers = conclude(*file, tried, std::move(heard), lines);
        made.recipients.insert(made.recipients.end(), answers.begin(), answers.end());
    }
    auto ending = settle(*file, std::move(lines));
    co_await shielded(std::move(ending)); // the answers are there: they are kept
    if (made.recipients.empty()) co_return std::nullopt;
    co_return made;
}

awaitable<std::optional<receipt>> spool::attempt(std::string name, direct& by) {
    return state_->attempt(std::move(name), by, false);
}

awaitable<> spool::flush(direct& by, std::size_t at_a_time,
                         std::function<void(std::string const&, receipt const&)> done) {
    auto& self = *state_;
    auto look = [&self, now = self.now()] {
        self.folder.sweep(now);
        return self.folder.due(now);
    };
    auto looking = self.files.run(std::move(look));
    auto const names = co_await std::move(looking);
    std::size_t next = 0;
    auto const work = [&]() -> awaitable<> {
        while (next < names.size()) {
            auto const& name = names[next++];
            std::optional<receipt> sent;
            std::string failure;
            try {
                sent = co_await self.attempt(name, by, true);
            } catch (error const& e) { // the others may do better
                failure = e.what();
            }
            if (!failure.empty() && self.how.watch)
                self.how.watch->log(severity::error, "spool " + name, failure);
            if (sent && done) done(name, *sent);
        }
    };
    auto const body = [&](task_group& group) -> awaitable<> {
        for (std::size_t i = 0; i < std::max<std::size_t>(1, at_a_time); ++i) group.spawn(work());
        co_return;
    };
    co_await with_group(body);
}

awaitable<std::size_t> spool::size() {
    auto& self = *state_;
    auto work = [&self] { return self.folder.size(); };
    auto counting = self.files.run(std::move(work));
    co_return co_await std::move(counting);
}

} // namespace trawl::smtp
