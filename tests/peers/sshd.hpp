#pragma once

#include "test.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace trawl::test {

inline std::string read_text(std::filesystem::path const& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

inline void write_text(std::filesystem::path const& file, std::string const& text) {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
}

/// A folder of its own under the temporary one, removed at the end.
class scratch {
public:
    scratch() {
        auto pattern = (std::filesystem::temp_directory_path() / "trawl-test-XXXXXX").string();
        if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
        path_ = pattern;
    }
    scratch(scratch const&) = delete;
    scratch& operator=(scratch const&) = delete;
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::filesystem::path operator/(std::string const& name) const { return path_ / name; }
    std::filesystem::path const& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

/// Starts a program with its output in `log` (appended) and returns its pid.
inline pid_t spawn(std::vector<std::string> const& words, std::filesystem::path const& log) {
    std::vector<char*> argv;
    for (auto const& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    int const out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int const in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t const pid = ::fork();
    if (pid < 0) throw std::runtime_error("fork failed");
    if (pid == 0) {
        ::dup2(in, 0), ::dup2(out, 1), ::dup2(out, 2);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    ::close(out), ::close(in);
    return pid;
}

/// Runs a program to its end; throws with its output when it fails.
inline void run_program(std::vector<std::string> const& words, scratch const& folder) {
    auto const log = folder / "run.log";
    int status = 0;
    ::waitpid(spawn(words, log), &status, 0);
    if (status != 0) throw std::runtime_error(words[0] + " failed: " + read_text(log));
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
inline std::uint16_t free_port() {
    int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0)
        throw std::runtime_error("no free port");
    ::close(fd);
    return ntohs(at.sin_port);
}

inline bool accepts(std::uint16_t port) {
    int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool const ok = ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
    ::close(fd);
    return ok;
}

/// A server on a port of 127.0.0.1. Ends with its object.
class server_process {
public:
    server_process() = default;
    server_process(server_process const&) = delete;
    server_process& operator=(server_process const&) = delete;
    ~server_process() { end(); }

    /// Starts `words(port)` until it accepts connections; somebody else may take the port first.
    template <class Words>
    void start(Words words, std::filesystem::path const& log) {
        for (int attempt = 0; attempt < 5; ++attempt) {
            port_ = free_port();
            pid_ = spawn(words(port_), log);
            if (answers()) return;
        }
        throw std::runtime_error("a server does not start: " + read_text(log));
    }

    std::uint16_t port() const noexcept { return port_; }
    pid_t pid() const noexcept { return pid_; }

private:
    bool answers() {
        for (auto const limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
             std::chrono::steady_clock::now() < limit;) {
            if (accepts(port_)) return true;
            if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
                pid_ = -1;
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        end();
        return false;
    }

    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGCONT);
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

    std::uint16_t port_ = 0;
    pid_t pid_ = -1;
};

/// For known_hosts: a server on 127.0.0.1, and its key as a .pub file has it.
inline std::string known_hosts_line(std::uint16_t port, std::string const& key) {
    return "[127.0.0.1]:" + std::to_string(port) + " " + key;
}

/// Makes a key pair `file` and `file`.pub.
inline void make_key(scratch const& folder, std::string const& name, std::string const& type,
                     std::string const& passphrase = {}) {
    run_program({"/usr/bin/ssh-keygen", "-q", "-t", type, "-N", passphrase, "-C", "test", "-f",
                 (folder / name).string()},
                folder);
}

/// The real OpenSSH server on a high port of 127.0.0.1 and 127.0.0.2, with fresh host keys and one
/// user key that it accepts for the current user. Ends with its object.
class sshd {
public:
    explicit sshd(std::string const& more_configuration = {}) {
        if (!std::filesystem::exists("/usr/sbin/sshd")) skip("needs openssh-server");
        if (::geteuid() == 0) ::mkdir("/run/sshd", 0755); // it refuses to start without
        keygen("host_ed25519", "ed25519");
        keygen("host_ecdsa", "ecdsa");
        keygen("user", "ed25519");
        keygen("stranger", "ed25519");
        std::filesystem::copy_file(folder_ / "user.pub", folder_ / "authorized_keys");
        auto const words = [&](std::uint16_t port) {
            configure(port, more_configuration);
            return std::vector<std::string>{"/usr/sbin/sshd", "-D", "-e", "-f",
                                            file("sshd_config").string()};
        };
        process_.start(words, folder_ / "sshd.log");
    }
    sshd(sshd const&) = delete;
    sshd& operator=(sshd const&) = delete;

    std::uint16_t port() const noexcept { return process_.port(); }
    pid_t pid() const noexcept { return process_.pid(); }
    std::filesystem::path file(std::string const& name) const { return folder_ / name; }
    std::string log() const { return read_text(folder_ / "sshd.log"); }

    static std::string user() {
        auto const* entry = ::getpwuid(::geteuid());
        return entry ? entry->pw_name : "root";
    }

    /// "NAME TYPE BASE64" for known_hosts, with the address and port of this server.
    std::string known_hosts_line(std::string const& key = "host_ed25519") const {
        return test::known_hosts_line(port(), read_text(folder_ / (key + ".pub")));
    }

    void keygen(std::string const& name, std::string const& type,
                std::string const& passphrase = {}) {
        make_key(folder_, name, type, passphrase);
    }

private:
    void configure(std::uint16_t port, std::string const& more) {
        // The first value of a keyword counts, so what a test asks for stands first; of MaxStartups
        // the last one does.
        std::ostringstream text;
        text << more << "\nListenAddress 127.0.0.1:" << port << "\nListenAddress 127.0.0.2:" << port
             << "\nHostKey " << (folder_ / "host_ed25519").string() << "\nHostKey "
             << (folder_ / "host_ecdsa").string() << "\nAuthorizedKeysFile "
             << (folder_ / "authorized_keys").string()
             << (more.find("MaxStartups") == more.npos ? "\nMaxStartups 500" : "")
             << "\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nUseDNS "
                "no\n"
                "LogLevel ERROR\nSubsystem sftp internal-sftp\n"
                // bash run by sshd reads ~/.bashrc when SHLVL is below 2: 0.3 s on some machines.
                "SetEnv SHLVL=9\n";
        write_text(folder_ / "sshd_config", text.str());
    }

    scratch folder_;
    server_process process_; // ends before the folder
};

} // namespace trawl::test
