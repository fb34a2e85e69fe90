#pragma once

#include "cli/environment.hpp"

#include <trawl/smtp.hpp>

#include <cstdint>
#include <string>

namespace trawl::cli {

/// `one` with the same answer for everybody.
smtp::receipt everybody(smtp::outgoing const& one, smtp::status status, std::string const& why);

/// Writes what became of messages, and counts it.
class mail_report {
public:
    explicit mail_report(environment& here) : here_(here) {}

    /// A line, or a record, for each recipient.
    void show(smtp::receipt const& sent);
    /// What became of the message on a line of a batch: with --json one record for all its
    /// recipients.
    void show(std::uint64_t line, smtp::receipt const& sent);
    /// A line of a batch that is no message.
    void refuse(std::uint64_t line, std::string const& why);
    /// The record that comes last; `code` is the exit code.
    void summarise(int code);

    bool all_accepted() const noexcept { return invalid_ == 0 && counts_[0] == recipients_; }
    /// No server has said a word about any of them.
    bool unheard() const noexcept { return recipients_ > 0 && !heard_; }

private:
    void count(smtp::receipt const& sent);

    environment& here_;
    time_point began_ = clock::now();
    std::uint64_t messages_ = 0, recipients_ = 0, invalid_ = 0;
    std::uint64_t counts_[4]{}; ///< by status
    bool heard_ = false, batch_ = false;
};

} // namespace trawl::cli
