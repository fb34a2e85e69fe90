#pragma once

#include "mail/mail_hosts.hpp"
#include "mail/spool_entry.hpp"
#include "test.hpp"

#include <trawl/smtp_spool.hpp>

// A spool, and what its messages meet.
namespace trawl::test {

inline smtp::outgoing message(std::vector<std::string> recipients,
                              std::string text = "Subject: s\r\n\r\nok\r\n") {
    smtp::outgoing one;
    one.message_id = "<1@b.example>";
    one.envelope.sender = "a@b.example";
    one.envelope.recipients = std::move(recipients);
    one.content = smtp::outgoing::of({}, std::move(text)).content;
    return one;
}

/// "deferred deferred accepted"
inline std::string states(smtp::detail::spooled const& one) {
    std::string out;
    for (auto const& r : one.recipients) {
        if (!out.empty()) out += ' ';
        out += to_string(r.status);
    }
    return out;
}

/// A spool, d.example with one mail server, and a clock.
struct world {
    explicit world(asio::any_io_executor executor, mail_host::script says = {})
        : names(executor), host(executor, "127.0.0.2", 0, std::move(says)) {
        names.mx("d.example", 10, "mx1.d.example");
        names.address("mx1.d.example", "127.0.0.2");
        names.missing = {"gone.example"};
        resolver_options.servers = {names.server.where()};
        resolver_options.timeout = std::chrono::seconds(2);
        resolver_options.tries = 1;
        how.folder = folder.path / "spool";
        how.now = [this] {
            return std::chrono::system_clock::time_point(std::chrono::seconds(time));
        };
        direct.port = host.port();
        direct.helo = "client.example";
        direct.limits = smtp::timeouts::scaled(0.1);
    }
    std::size_t files(std::string const& part) const {
        std::size_t count = 0;
        for ([[maybe_unused]] auto const& one :
             std::filesystem::directory_iterator(how.folder / part))
            ++count;
        return count;
    }

    temporary_folder folder;
    zones names;
    mail_host host;
    dns::resolver::options resolver_options;
    smtp::spool_options how;
    smtp::direct_options direct;
    std::int64_t time = 1'000'000;
};

using story = std::function<awaitable<>(world&, smtp::spool&, smtp::direct&)>;

inline void run_spool(story tell, mail_host::script says = {}) {
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        world here(executor, says);
        offload_pool files(offload_pool::options{.threads = 2});
        auto const body = [&](task_group& group) -> awaitable<> {
            here.names.server.start(group);
            here.host.start(group);
            dns::resolver resolver(executor, here.resolver_options);
            smtp::direct direct(executor, resolver, here.direct);
            smtp::spool spool(files, here.how);
            co_await tell(here, spool, direct);
            co_await direct.quit();
        };
        co_await with_group(body);
    };
    test::run(main);
}

inline std::string outcome(smtp::receipt const& done) {
    std::string out;
    for (auto const& r : done.recipients) {
        if (!out.empty()) out += "; ";
        out += r.address + ' ' + std::string(to_string(r.status));
        if (!r.enhanced.empty()) out += ' ' + r.enhanced;
    }
    return out;
}

/// Whoever does not want to hear what became of the messages.
inline std::function<void(std::string const&, smtp::receipt const&)> const nobody;

struct listener : observer {
    std::vector<std::string> heard;
    void log(severity, std::string_view where, std::string_view text) override {
        heard.push_back(std::string(where) + ": " + std::string(text));
    }
};

} // namespace trawl::test
