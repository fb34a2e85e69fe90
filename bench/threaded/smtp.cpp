// Mail as it is sent without an event loop: blocking sockets, and the library's own dialogue, so that nothing but the model
// differs.
//
//     bench-threaded-smtp [--threads per-host|N] PORT BYTES < RECIPIENTS
//
// A connection to 127.0.0.1:PORT and one message of BYTES for each recipient; prints "RECIPIENT CODE", the server's answer, or
// "RECIPIENT failed: WHY".
#include "crowd.hpp"

#include "../mixed_letter.hpp"

#include "mail/smtp_connection.hpp"
#include "mail/smtp_dialogue.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace {

using namespace trawl;

/// A blocking TCP connection to this machine; each call gives up after two minutes.
class connection {
public:
    explicit connection(std::uint16_t port)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (fd_ < 0) throw failed("socket");
        timeval const limit{120, 0};
        int const yes = 1;
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        sockaddr_in peer{};
        peer.sin_family = AF_INET;
        peer.sin_port = htons(port);
        peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer) == 0) return;
        auto const why = failed("connect");
        ::close(fd_);
        throw why;
    }
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    ~connection() { ::close(fd_); }

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            auto const sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0) throw failed("send");
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    /// Empty at the end.
    std::string_view read() {
        auto const size = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
        if (size < 0) throw failed("recv");
        return {buffer_.data(), static_cast<std::size_t>(size)};
    }

private:
    static std::system_error failed(char const* what) {
        return {errno, std::generic_category(), what};
    }
    int fd_;
    std::array<char, 8192> buffer_;
};

/// Writes what the dialogue has to say, and reads, until it is settled.
void advance(smtp::detail::dialogue& talk, connection& wire) {
    while (!talk.settled()) {
        auto const chunk = talk.take(65536);
        if (!chunk.empty()) {
            wire.write(chunk);
            continue;
        }
        if (talk.settled()) return;
        auto const bytes = wire.read();
        if (bytes.empty())
            talk.lost(make_error_code(smtp::errc::closed));
        else
            talk.receive(bytes);
    }
}

/// The server's answer for the only recipient.
smtp::recipient deliver(std::uint16_t port, smtp::outgoing letter) {
    connection wire(port);
    smtp::detail::settings how;
    how.helo = "bench.example.org";
    how.tls = smtp::tls::none;
    smtp::detail::dialogue talk(how);
    advance(talk, wire);
    smtp::recipient answer;
    if (talk.at() == smtp::detail::phase::ready) {
        auto job = smtp::detail::make_job(std::move(letter));
        job->open(talk.can());
        talk.begin(std::move(job));
        advance(talk, wire);
        if (auto const ended = talk.take_finished()) answer = ended->answers.front();
    }
    if (talk.at() == smtp::detail::phase::closed)
        throw std::system_error(talk.failure().code, talk.failure().said);
    talk.quit();
    advance(talk, wire);
    return answer;
}

} // namespace

int main(int count, char** word) {
    std::vector<std::string> words(word + 1, word + count);
    auto const threads = bench::take_threads(words);
    if (words.size() != 2)
        return std::fputs("bench-threaded-smtp [--threads per-host|N] PORT BYTES < RECIPIENTS\n",
                          stderr),
               2;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    auto const port = static_cast<std::uint16_t>(std::atoi(words[0].c_str()));
    auto const text = bench::text_of_letter(static_cast<std::size_t>(std::atoll(words[1].c_str())));
    auto const recipients = bench::read_lines();
    bench::output out;
    std::atomic<std::size_t> failures = 0;
    auto const fail = [&](std::size_t i, std::string const& why) {
        ++failures;
        out.line(recipients[i] + " failed: " + why);
    };
    auto const send = [&](std::size_t i) {
        try {
            auto const answer = deliver(port, bench::letter_to(recipients[i], text));
            if (answer.status != smtp::status::accepted) ++failures;
            out.line(recipients[i] + " " + std::to_string(answer.code));
        } catch (std::system_error const& why) {
            fail(i, why.what());
        }
    };
    bench::run_crowd(threads, recipients.size(), send, fail);
    return failures == 0 ? 0 : 1;
}
