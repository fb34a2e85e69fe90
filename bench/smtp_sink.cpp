// The server of smtp.sh: takes every message and keeps none of it, one thread over epoll, so that it
// costs less than any client (Postfix's smtp-sink is itself the limit of a good one).
//
//     bench-smtp-sink PORT [EXTENSION...]
//
// listens on 127.0.0.1 and offers 8BITMIME, SIZE and the EXTENSIONs: PIPELINING, CHUNKING, and
// STARTTLS=FILE with certificate and key in a PEM file. Bad input ends its connection.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <strings.h>

namespace {

SSL_CTX* tls_context = nullptr;
std::string hello = "250-sink.example\r\n";

[[noreturn]] void fail(char const* what) {
    std::perror(what);
    std::exit(2);
}

/// One connection's dialogue: bytes in, replies out.
class dialogue {
public:
    explicit dialogue(int descriptor) : fd_(descriptor) {
        out_ = "220 sink.example ESMTP\r\n";
        flush();
    }
    dialogue(dialogue const&) = delete;
    dialogue& operator=(dialogue const&) = delete;
    ~dialogue() {
        SSL_free(tls_);
        ::close(fd_);
    }

    /// Reads once (TLS: until nothing is left) and answers; false at the end.
    bool serve() {
        static std::array<char, 65536> block;
        do {
            auto const size = read(block);
            if (size <= 0) return size < 0 && waiting_;
            listen({block.data(), static_cast<std::size_t>(size)});
            if (!flush() || ended_) return false;
        } while (tls_);
        return true;
    }

private:
    static constexpr std::size_t longest_line = 4096;

    ssize_t read(std::array<char, 65536>& block) {
        auto const size = tls_ ? SSL_read(tls_, block.data(), static_cast<int>(block.size()))
                               : ::recv(fd_, block.data(), block.size(), 0);
        if (size < 0)
            waiting_ = tls_ ? SSL_get_error(tls_, static_cast<int>(size)) == SSL_ERROR_WANT_READ
                            : errno == EAGAIN;
        return size;
    }

    /// Whoever does not read some hundred bytes of replies is not waited for.
    bool flush() {
        auto const size = static_cast<int>(out_.size());
        bool const all =
            out_.empty() ||
            (tls_ && !tls_pending_ ? SSL_write(tls_, out_.data(), size) == size
                                   : ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL) == size);
        tls_pending_ = false;
        out_.clear();
        return all;
    }

    void listen(std::string_view bytes) {
        while (!bytes.empty() && !ended_) {
            if (chunk_ > 0)
                take_chunk(bytes);
            else if (in_text_)
                take_text(bytes);
            else
                take_line(bytes);
        }
    }

    void take_chunk(std::string_view& bytes) {
        auto const size = std::min(chunk_, bytes.size());
        bytes.remove_prefix(size);
        chunk_ -= size;
        if (chunk_ == 0) out_ += "250 2.0.0 Ok\r\n";
    }

    /// Looks for the final dot, which may be cut anywhere: tail_ is what came before.
    void take_text(std::string_view& bytes) {
        constexpr std::string_view end = "\r\n.\r\n";
        auto const seam = tail_ + std::string(bytes.substr(0, end.size() - 1));
        auto const in_seam = seam.find(end);
        auto const found = in_seam != seam.npos ? in_seam : bytes.find(end);
        if (found == bytes.npos) {
            tail_ += bytes.substr(bytes.size() - std::min(bytes.size(), end.size() - 1));
            if (tail_.size() >= end.size()) tail_.erase(0, tail_.size() - end.size() + 1);
            bytes = {};
            return;
        }
        bytes.remove_prefix(found + end.size() - (in_seam != seam.npos ? tail_.size() : 0));
        in_text_ = false;
        out_ += "250 2.0.0 Ok\r\n";
    }

    void take_line(std::string_view& bytes) {
        auto const end = bytes.find('\n');
        if (end == bytes.npos) {
            line_ += bytes, bytes = {};
            ended_ = line_.size() > longest_line;
            return;
        }
        if (line_.empty())
            obey(bytes.substr(0, end));
        else
            obey(line_ += bytes.substr(0, end)), line_.clear();
        bytes.remove_prefix(end + 1);
    }

    void obey(std::string_view line) {
        auto const is = [line](std::string_view verb) {
            return line.size() >= verb.size() &&
                   ::strncasecmp(line.data(), verb.data(), verb.size()) == 0;
        };
        if (is("BDAT")) {
            chunk_ = std::strtoul(std::string(line.substr(4)).c_str(), nullptr, 10);
            if (chunk_ == 0) out_ += "250 2.0.0 Ok\r\n";
        } else if (is("DATA")) {
            out_ += "354 go on\r\n";
            in_text_ = true, tail_ = "\r\n";
        } else if (is("EHLO")) {
            out_ += hello;
        } else if (is("STARTTLS") && tls_context && !tls_) {
            out_ += "220 2.0.0 go on\r\n";
            tls_ = SSL_new(tls_context);
            SSL_set_fd(tls_, fd_);
            SSL_set_accept_state(tls_);
            tls_pending_ = true; // this reply is the last in plain text
        } else if (is("QUIT")) {
            out_ += "221 2.0.0 bye\r\n";
            ended_ = true;
        } else
            out_ += "250 2.0.0 Ok\r\n";
    }

    int fd_;
    SSL* tls_ = nullptr;
    std::string out_, line_, tail_;
    std::size_t chunk_ = 0; ///< what is left of it
    bool in_text_ = false, ended_ = false, waiting_ = false, tls_pending_ = false;
};

void offer(int count, char** extension) {
    for (int i = 0; i < count; ++i) {
        std::string const word = extension[i];
        auto const name = word.substr(0, word.find('='));
        hello += "250-" + name + "\r\n";
        if (name != "STARTTLS") continue;
        auto const file = word.substr(std::min(word.size(), name.size() + 1));
        tls_context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(tls_context, file.c_str()) != 1 ||
            SSL_CTX_use_PrivateKey_file(tls_context, file.c_str(), SSL_FILETYPE_PEM) != 1) {
            std::fprintf(stderr, "bench-smtp-sink: no certificate and key in \"%s\"\n",
                         file.c_str());
            std::exit(2);
        }
    }
    hello += "250-SIZE 52428800\r\n250 8BITMIME\r\n";
}

int listener(std::uint16_t port) {
    int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int const yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(port);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || ::listen(fd, 4096) != 0)
        fail("bench-smtp-sink: listen");
    return fd;
}

void watch(int poll, int fd, dialogue* who) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = who;
    if (::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) fail("bench-smtp-sink: epoll_ctl");
}

void accept_all(int poll, int from) {
    int const yes = 1;
    for (int fd; (fd = ::accept4(from, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(poll, fd, new dialogue(fd)); // until it ends, below
    }
}

} // namespace

int main(int count, char** word) {
    if (count < 2) return std::fputs("bench-smtp-sink PORT [EXTENSION...]\n", stderr), 2;
    ::signal(SIGPIPE, SIG_IGN);
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    offer(count - 2, word + 2);
    int const door = listener(static_cast<std::uint16_t>(std::atoi(word[1])));
    int const poll = ::epoll_create1(EPOLL_CLOEXEC);
    watch(poll, door, nullptr);
    std::array<epoll_event, 1024> events;
    for (;;) {
        int const ready = ::epoll_wait(poll, events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < ready; ++i) {
            auto* const who = static_cast<dialogue*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (!who)
                accept_all(poll, door);
            else if (!who->serve())
                delete who;
        }
    }
}
