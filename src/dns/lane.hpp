#pragma once

#include "dns/configuration.hpp"
#include "dns/question.hpp"

#include <asio/any_io_executor.hpp>

#include <ares.h>

#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <sys/uio.h>
#include <vector>

namespace trawl::dns::detail {

/// One c-ares 1.18 channel to one server, on Asio.
///
/// c-ares keeps the questions, tells answers from forgeries and goes over to TCP where an answer was
/// truncated. Its sockets are ours (ares_set_socket_functions): what it sends by UDP is gathered and
/// leaves in one system call, and many packets are read in one. It asks once only: when to repeat,
/// and when to give up, is the look-up's business. When nothing is out c-ares closes the socket, so
/// that the next question leaves from another port.
class lane : public std::enable_shared_from_this<lane> {
public:
    /// What may be on its way at a time: as many answers of 1,232 bytes as fit a receive buffer of
    /// twice 212,992 bytes (the kernel's default limit), at 2,304 bytes of it each.
    static constexpr std::size_t most_on_its_way = 180;

    lane(asio::any_io_executor executor, name_server const& to, duration give_up);
    ~lane();

    /// `asked->from` hears of it, perhaps before this returns.
    void ask(std::shared_ptr<question> asked, std::string const& name, type wanted);
    /// Reads what has come in already, before the loop gets to it. Answers are told from here.
    void catch_up();
    /// Sends the same packet once more.
    void repeat(question const& asked, std::string const& name, type wanted);
    /// It has been lost, or nobody waits for it.
    void overdue(question& asked) noexcept;
    /// Ends all questions with ARES_ECANCELLED, which closes the sockets.
    void cancel() noexcept { ares_cancel(handle_); }

    bool has_room() const noexcept { return on_its_way_ < most_on_its_way && out_ < most_out; }

private:
    struct socket;
    struct hooks;                                  // what c-ares calls
    static constexpr std::size_t most_out = 30000; // of 65,536 numbers

    std::uint16_t fresh_id();
    void answered(question& asked, int status, bytes packet) noexcept;
    void arm(std::shared_ptr<socket> const& on, bool writing);
    void ready(std::shared_ptr<socket> const& on, bool writing);
    std::size_t read(std::shared_ptr<socket> const& from);
    void flush_later(std::shared_ptr<socket> const& by);
    void flush(std::shared_ptr<socket> const& by);
    void fail(std::shared_ptr<socket> const& on, int error);
    bool is_open(std::shared_ptr<socket> const& it) const;

    asio::any_io_executor executor_;
    ares_channel handle_ = nullptr;
    std::map<ares_socket_t, std::shared_ptr<socket>> sockets_;
    std::vector<unsigned char> packet_; // that c-ares is given
    std::size_t out_ = 0, on_its_way_ = 0;
    std::bitset<65536> ids_; // of the questions that are out
};

} // namespace trawl::dns::detail
