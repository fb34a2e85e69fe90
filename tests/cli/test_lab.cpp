#include "cli/verb.hpp"

#include "test.hpp"

#include <asio/ip/tcp.hpp>

#include <boost/json/parse.hpp>

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace trawl::cli;

namespace {

// A verb in a child process, as the command runs it; its stdout comes through a pipe.
class running_verb {
public:
    explicit running_verb(std::string const& line) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::dup2(ends[1], STDOUT_FILENO);
            ::close(ends[0]);
            ::close(ends[1]);
            ::_exit(run(line));
        }
        ::close(ends[1]);
        out_ = ends[0];
    }
    ~running_verb() {
        ::close(out_);
        if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
    }
    running_verb(running_verb const&) = delete;
    running_verb& operator=(running_verb const&) = delete;

    std::string line() {
        std::string text;
        for (char c = 0; ::read(out_, &c, 1) == 1 && c != '\n';) text += c;
        return text;
    }
    void interrupt() const { ::kill(pid_, SIGINT); }
    int exit_status() {
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    static int run(std::string const& line) {
        try {
            CLI::App app("test", "trawl");
            action chosen;
            add_lab(app, chosen);
            app.parse(line);
            settings words;
            words.json = words.quiet = true;
            environment here(words);
            return chosen(here);
        } catch (usage_error const&) {
            return usage;
        } catch (CLI::ParseError const&) {
            return usage;
        }
    }

    pid_t pid_ = -1;
    int out_ = -1;
};

} // namespace

TEST_CASE("trawl lab says where everything is, serves until Ctrl-C and exits 0", "[cli][lab]") {
    auto const dir =
        std::filesystem::temp_directory_path() / fmt::format("trawl-test-cli-lab-{}", ::getpid());
    running_verb lab(fmt::format("lab --hosts 127.7.9.0/30 --refuse 127.7.9.2 --ssh-port 0 "
                                 "--smtp-port 0 --dir {}",
                                 dir.string()));
    auto const told = boost::json::parse(lab.line()).as_object();
    CHECK(told.at("type").as_string() == "lab");
    CHECK(told.at("hosts").as_array().size() == 4);
    for (auto const* file : {"identity", "password_file", "known_hosts", "maildir"})
        CHECK(std::filesystem::exists(told.at(file).as_string().c_str()));

    auto const port = static_cast<std::uint16_t>(told.at("ssh_port").to_number<int>());
    asio::io_context io;
    auto const greeting = [&](char const* host) {
        asio::ip::tcp::socket client(io);
        asio::error_code failure;
        client.connect({asio::ip::make_address(host), port}, failure);
        if (failure) return failure.message();
        std::string text(8, '\0');
        text.resize(client.read_some(asio::buffer(text), failure));
        return text;
    };
    CHECK(greeting("127.7.9.0") == "SSH-2.0-");
    CHECK(greeting("127.7.9.3") == "SSH-2.0-");
    CHECK(greeting("127.7.9.2") == "Connection refused");

    lab.interrupt();
    auto const summary = boost::json::parse(lab.line()).as_object();
    CHECK(summary.at("type").as_string() == "summary");
    CHECK(summary.at("connections").to_number<int>() == 2);
    CHECK(summary.at("exit").to_number<int>() == 0);
    CHECK(lab.exit_status() == 0);
    std::filesystem::remove_all(dir);
}

TEST_CASE("trawl lab refuses what is not a loopback address with exit code 2", "[cli][lab]") {
    for (std::string hosts :
         {"10.0.0.1", "0.0.0.0", "web.example", "127.0.0.1:22", "127.0.0.0/8"}) {
        running_verb lab("lab --ssh-port 0 --smtp-port 0 --hosts " + hosts);
        INFO(hosts);
        CHECK(lab.line().empty());
        CHECK(lab.exit_status() == usage);
    }
}
