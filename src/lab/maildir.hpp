#pragma once

#include "lab/smtp_receiver.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace trawl::lab {

/// Makes `root` and its cur, new and tmp (0700). Throws std::system_error.
void make_maildir(std::filesystem::path const& root);

/// Writes one message after the other into a Maildir; the envelope goes before the text as
/// X-Envelope-From and X-Envelope-To lines.
class maildir_writer final : public mail_store {
public:
    /// `root` was made by make_maildir.
    explicit maildir_writer(std::filesystem::path root) : root_(std::move(root)) {}
    ~maildir_writer() override { abandon(); }

    void begin(envelope const& from_and_to) override;
    void append(std::string_view text) override;
    std::string commit() override;
    void abandon() noexcept override;

private:
    void flush();

    std::filesystem::path root_;
    std::string name_, buffer_;
    int file_ = -1;
};

} // namespace trawl::lab
