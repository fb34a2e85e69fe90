#pragma once

#include "lab/smtp_receiver.hpp"

#include <trawl/async.hpp>
#include <trawl/observer.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace trawl::lab {

/// An SMTP server on loopback that stores every message in a Maildir.
///
/// A message becomes `new/NAME.eml` at once (written to `tmp`, then renamed): the bytes as they
/// came, CRLF included, after the lines `X-Envelope-From: <...>` and one `X-Envelope-To: <...>` for
/// each recipient. Text goes to the file as it arrives, so that a message of any size costs no
/// memory; files are not synced to the disk.
class smtp_sink {
public:
    struct options {
        asio::ip::address address = asio::ip::address_v4::loopback();
        std::uint16_t port = 0;        ///< 0: a free one
        std::filesystem::path maildir; ///< made (0700) when it is missing
        duration idle =
            std::chrono::minutes(5); ///< without a byte from the client: 421 (RFC 5321 §4.5.3.2.7)
        std::size_t max_connections = 256; ///< more wait in the backlog
        smtp_receiver::options dialogue = {};
        observer* watch = nullptr; ///< not owned
    };

    /// Listens. Throws error for an address that is not loopback and what the system says.
    smtp_sink(asio::any_io_executor executor, options configuration);
    smtp_sink(smtp_sink const&) = delete;
    smtp_sink& operator=(smtp_sink const&) = delete;
    ~smtp_sink();

    /// Serves until it is cancelled (then throws operation_aborted).
    awaitable<> serve();

    std::uint16_t port() const noexcept;
    std::uint64_t stored() const noexcept; ///< messages

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace trawl::lab
