#pragma once

#include "test.hpp"

#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trawl::test {

/// A folder that anybody may write into, gone at the end of the case.
struct temporary_folder {
    std::filesystem::path path;
    temporary_folder() {
        auto name = (std::filesystem::temp_directory_path() / "trawl-mail-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        path = name;
        std::filesystem::permissions(path, std::filesystem::perms::all);
    }
    temporary_folder(temporary_folder const&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path); }
};

inline std::string read_file(std::filesystem::path const& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(std::filesystem::path const& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// A child process that ends with this object, and with this process.
class child_process {
public:
    child_process(std::vector<std::string> words, std::string const& output = "/dev/null") {
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("fork");
        if (pid_ > 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int const out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        ::dup2(out, 1), ::dup2(out, 2);
        std::vector<char*> arguments;
        for (auto& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }
    child_process(child_process const&) = delete;
    ~child_process() {
        if (ended_) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    /// The exit status of a program that ends by itself.
    int wait() {
        int status = 0;
        ::waitpid(pid_, &status, 0);
        ended_ = true;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    }
    bool running() {
        return ended_ ? false : !(ended_ = ::waitpid(pid_, nullptr, WNOHANG) == pid_);
    }

private:
    pid_t pid_ = -1;
    bool ended_ = false;
};

inline bool have(std::string const& program) { return ::access(program.c_str(), X_OK) == 0; }

/// A port of 127.0.0.1 on which nobody listens now.
inline std::uint16_t free_port() {
    asio::io_context io;
    asio::ip::tcp::acceptor probe(io, {asio::ip::address_v4::loopback(), 0});
    return probe.local_endpoint().port();
}

/// True when somebody accepts connections on 127.0.0.1:`port` within 10 s.
inline bool wait_for_port(std::uint16_t port, child_process& server) {
    asio::io_context io;
    for (auto end = clock::now() + std::chrono::seconds(10); clock::now() < end && server.running();
         ::usleep(5000)) {
        asio::ip::tcp::socket probe(io);
        std::error_code failure;
        probe.connect({asio::ip::address_v4::loopback(), port}, failure);
        if (!failure) return true;
    }
    return false;
}

/// Postfix's smtp-sink on a free port, with what it stores.
class smtp_sink {
public:
    explicit smtp_sink(std::vector<std::string> const& flags)
        : port(free_port()), process(command(flags)) {
        if (!wait_for_port(port, process)) throw std::runtime_error("smtp-sink did not start");
    }
    std::string at() const { return "127.0.0.1:" + std::to_string(port); }
    /// The stored messages, in no order; smtp-sink puts an empty line behind each.
    std::vector<std::string> messages() const {
        std::vector<std::string> found;
        for (auto const& entry : std::filesystem::directory_iterator(folder.path))
            found.push_back(read_file(entry.path()));
        return found;
    }

    temporary_folder folder;
    std::uint16_t port;
    child_process process;

private:
    std::vector<std::string> command(std::vector<std::string> const& flags) const {
        if (!have("/usr/sbin/smtp-sink")) skip("needs Postfix's smtp-sink");
        std::vector<std::string> words{"/usr/sbin/smtp-sink", "-d", folder.path.string() + "/m."};
        if (::geteuid() == 0) words.insert(words.end(), {"-u", "nobody"});
        words.insert(words.end(), flags.begin(), flags.end());
        words.insert(words.end(), {at(), "100"});
        return words;
    }
};

/// A server on 127.0.0.1 that follows a script, a connection after the other.
class scripted_server {
public:
    /// What the server does next on its connection.
    struct step {
        enum { say, hear, drip, flood, hang, close, reset } what;
        std::string text; ///< to say, or what the client's next bytes have to end with
    };
    using script = std::vector<step>;

    scripted_server(asio::any_io_executor executor, std::vector<script> scripts)
        : acceptor_(executor, {asio::ip::address_v4::loopback(), 0}), scripts_(std::move(scripts)) {
    }

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    std::string const& heard() const { return heard_; }
    std::size_t connections() const { return connections_; }

    awaitable<> serve() {
        for (auto const& steps : scripts_) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            ++connections_;
            try {
                co_await follow(socket, steps, heard_);
            } catch (std::system_error const& e) {
                if (is_cancelled(e)) throw;
            }
        }
    }

    /// Plays one script on a connection of any kind.
    template <class Socket>
    static awaitable<> follow(Socket& socket, script const& steps, std::string& heard) {
        std::string pending;
        for (auto const& [what, text] : steps) {
            if (what == step::say)
                co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
            if (what == step::hear) {
                auto const size = co_await asio::async_read_until(
                    socket, asio::dynamic_buffer(pending), text, asio::use_awaitable);
                heard += pending.substr(0, size);
                pending.erase(0, size);
            }
            if (what == step::drip)
                for (char c : text) {
                    co_await asio::async_write(socket, asio::buffer(&c, 1), asio::use_awaitable);
                    co_await sleep_for(std::chrono::milliseconds(20));
                }
            while (what == step::flood)
                co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
            if (what == step::hang) co_await sleep_for(std::chrono::hours(1));
            if (what == step::reset) socket.set_option(asio::socket_base::linger(true, 0));
            if (what == step::reset || what == step::close) socket.close();
        }
    }

private:
    asio::ip::tcp::acceptor acceptor_;
    std::vector<script> scripts_;
    std::string heard_;
    std::size_t connections_ = 0;
};

} // namespace trawl::test
