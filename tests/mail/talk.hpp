#pragma once

#include "mail/smtp_dialogue.hpp"
#include "test.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// An SMTP dialogue without a server: what is said to it and what it says, as text.
namespace trawl::test {

using namespace trawl::smtp::detail;
using trawl::mime::envelope;

inline settings plain_settings() {
    settings how;
    how.helo = "client.example";
    how.tls = trawl::smtp::tls::none;
    return how;
}

inline std::string all_output(dialogue& talk) {
    std::string said;
    while (true) {
        auto const chunk = talk.take(1000);
        if (chunk.empty()) return said;
        said += chunk;
    }
}

constexpr std::string_view pipelining =
    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n";
constexpr std::string_view chunking =
    "250-mx.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME\r\n";
constexpr std::string_view simple = "250 mx.example\r\n";

/// A dialogue in phase ready.
inline std::unique_ptr<dialogue> ready(std::string_view ehlo = pipelining,
                                       settings how = plain_settings()) {
    auto talk = std::make_unique<dialogue>(std::move(how));
    CHECK(all_output(*talk).empty());
    talk->receive("220 mx.example ESMTP\r\n");
    CHECK(all_output(*talk) == "EHLO client.example\r\n");
    talk->receive(ehlo);
    CHECK(talk->at() == phase::ready);
    return talk;
}

/// Begins a message; its recipients' answers are found by summary().
inline void begin(dialogue& talk, envelope to, std::string content,
                  trawl::smtp::parameters wants = {}, bool alive = false) {
    auto one = std::make_shared<job>();
    one->what.envelope = std::move(to);
    one->what.parameters = std::move(wants);
    one->what.content = trawl::smtp::outgoing::of({}, std::move(content)).content;
    one->open(talk.can());
    talk.begin(std::move(one), alive);
}

inline envelope to(std::vector<std::string> recipients) {
    return {"a@b.example", std::move(recipients)};
}

/// "x@c: refused 550 5.1.1 no such user; ..."
inline std::string summary(dialogue& talk) {
    auto const done = talk.take_finished();
    if (!done) return "none";
    std::string out;
    for (auto const& r : done->answers) {
        if (!out.empty()) out += "; ";
        out += r.address + ": " + std::string(to_string(r.status)) + ' ' + std::to_string(r.code);
        if (!r.enhanced.empty()) out += ' ' + r.enhanced;
        if (!r.text.empty()) out += ' ' + r.text;
    }
    return out;
}

} // namespace trawl::test
