#include "cli/mail_report.hpp"

#include <fmt/format.h>

namespace trawl::cli {
namespace {

std::string line_of(smtp::recipient const& to) {
    std::string reply = to.code ? std::to_string(to.code) : "";
    for (auto const* part : {&to.enhanced, &to.text})
        if (!part->empty()) reply += (reply.empty() ? "" : " ") + *part;
    return escaped(fmt::format("{}: {} ({})", to.address, to_string(to.status), reply));
}

} // namespace

smtp::receipt everybody(smtp::outgoing const& one, smtp::status status, std::string const& why) {
    smtp::receipt made{one.message_id, {}};
    for (auto const& address : one.envelope.recipients)
        made.recipients.push_back({address, status, 0, "", why});
    return made;
}

void mail_report::count(smtp::receipt const& sent) {
    ++messages_;
    recipients_ += sent.recipients.size();
    for (auto const& to : sent.recipients) {
        ++counts_[static_cast<std::size_t>(to.status)];
        heard_ |= to.code != 0;
    }
}

void mail_report::show(smtp::receipt const& sent) {
    count(sent);
    for (auto const& to : sent.recipients)
        if (here_.words().json)
            here_.out().record(json::record("recipient", "mail")
                                   .field("message", sent.message_id)
                                   .field("recipient", to.address)
                                   .field("status", to_string(to.status))
                                   .field("code", to.code)
                                   .field("enhanced", to.enhanced)
                                   .field("text", to.text));
        else
            here_.out().line(line_of(to));
}

void mail_report::show(std::uint64_t line, smtp::receipt const& sent) {
    batch_ = true;
    count(sent);
    auto const write = [&] {
        if (!here_.words().json) {
            for (auto const& to : sent.recipients)
                here_.out().line(fmt::format("{} {}", line, line_of(to)));
            return;
        }
        boost::json::array all;
        for (auto const& to : sent.recipients)
            all.push_back({{"recipient", json::text(to.address)},
                           {"status", json::text(to_string(to.status))},
                           {"code", to.code},
                           {"enhanced", json::text(to.enhanced)},
                           {"text", json::text(to.text)}});
        here_.out().record(json::record("message", "mail")
                               .field("line", line)
                               .field("message", sent.message_id)
                               .field("recipients", std::move(all))
                               .field("error", nullptr));
    };
    here_.out().gather(write);
}

void mail_report::refuse(std::uint64_t line, std::string const& why) {
    batch_ = true;
    ++invalid_;
    here_.log().log(severity::error, "", fmt::format("line {}: {}", line, why));
    if (!here_.words().json) return;
    here_.out().record(json::record("message", "mail")
                           .field("line", line)
                           .field("message", "")
                           .field("recipients", boost::json::array())
                           .field("error", why));
}

void mail_report::summarise(int code) {
    here_.out().flush();
    if (!here_.words().json) return;
    json::record record("summary", "mail");
    record.field("targets", recipients_);
    for (auto status : {smtp::status::accepted, smtp::status::refused, smtp::status::deferred,
                        smtp::status::unknown})
        record.field(to_string(status), counts_[static_cast<std::size_t>(status)]);
    if (batch_) record.field("messages", messages_).field("invalid", invalid_);
    here_.out().record(record.field("elapsed", clock::now() - began_).field("exit", code));
}

} // namespace trawl::cli
