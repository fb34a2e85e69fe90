// The fan-out as it is written without an event loop: libssh's blocking calls, and a thread for each
// of JOBS hosts (ssh_errand.hpp). As such programs do, it reads stdout to its end and then stderr.
#include "../ssh_errand.hpp"
#include "crowd.hpp"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>

namespace {

template <auto Free>
struct freed {
    template <class Handle>
    void operator()(Handle* handle) const {
        Free(handle);
    }
};
using session_handle = std::unique_ptr<ssh_session_struct, freed<ssh_free>>;
using channel_handle = std::unique_ptr<ssh_channel_struct, freed<ssh_channel_free>>;
using key_handle = std::unique_ptr<ssh_key_struct, freed<ssh_key_free>>;

struct answer {
    int status = -1;
    std::size_t bytes = 0;
};

void check(bool good, ssh_session session, char const* what) {
    if (!good) throw std::runtime_error(std::string(what) + ": " + ssh_get_error(session));
}

session_handle log_in(ssh_errand const& errand, std::string const& host, ssh_key key) {
    session_handle session(ssh_new());
    auto* const s = session.get();
    unsigned const port = errand.port;
    long const seconds = 120;
    bool const no = false;
    ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
    ssh_options_set(s, SSH_OPTIONS_HOST, host.c_str());
    ssh_options_set(s, SSH_OPTIONS_PORT, &port);
    ssh_options_set(s, SSH_OPTIONS_USER, errand.user.c_str());
    ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, errand.known_hosts.c_str());
    ssh_options_set(s, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
    ssh_options_set(s, SSH_OPTIONS_TIMEOUT, &seconds);
    check(ssh_connect(s) == SSH_OK, s, "connect");
    check(ssh_session_is_known_server(s) == SSH_KNOWN_HOSTS_OK, s, "host key");
    check(ssh_userauth_publickey(s, nullptr, key) == SSH_AUTH_SUCCESS, s, "login");
    return session;
}

std::size_t read_all(ssh_channel channel, bool is_stderr) {
    std::array<char, 32 * 1024> piece;
    std::size_t bytes = 0;
    int got = 0;
    while ((got = ssh_channel_read(channel, piece.data(), piece.size(), is_stderr)) > 0)
        bytes += static_cast<std::size_t>(got);
    check(got == 0, ssh_channel_get_session(channel), "read");
    return bytes;
}

answer run(ssh_session session, std::string const& command) {
    channel_handle const channel(ssh_channel_new(session));
    auto* const c = channel.get();
    check(c && ssh_channel_open_session(c) == SSH_OK, session, "channel");
    check(ssh_channel_request_exec(c, command.c_str()) == SSH_OK, session, "exec");
    ssh_channel_send_eof(c);
    answer given;
    given.bytes = read_all(c, false);
    read_all(c, true);
    given.status = ssh_channel_get_exit_status(c);
    ssh_channel_close(c);
    return given;
}

answer visit(ssh_errand const& errand, std::string const& host, ssh_key key) {
    auto const session = log_in(errand, host, key);
    answer last;
    for (std::size_t i = 0; i < errand.times; ++i) last = run(session.get(), errand.command);
    ssh_disconnect(session.get());
    return last;
}

class fan_out {
public:
    explicit fan_out(ssh_errand errand) : errand_(std::move(errand)) {
        ssh_key key = nullptr;
        if (ssh_pki_import_privkey_file(errand_.key.c_str(), nullptr, nullptr, nullptr, &key))
            throw std::runtime_error("not a private key: " + errand_.key);
        key_.reset(key);
    }

    bool run() {
        auto const one = [this](std::size_t i) { visit_one(errand_.hosts[i]); };
        auto const refused = [this](std::size_t i, std::string const& why) {
            fail(errand_.hosts[i], why);
        };
        bool const all_at_once = errand_.jobs >= errand_.hosts.size();
        bench::run_crowd(all_at_once ? std::nullopt : bench::pool_size(errand_.jobs),
                         errand_.hosts.size(), one, refused);
        return failed_ == 0;
    }

private:
    void visit_one(std::string const& host) {
        // libssh's keys are not shared by threads
        thread_local key_handle const key(ssh_key_dup(key_.get()));
        try {
            auto const given = visit(errand_, host, key.get());
            output_.line(host + " " + std::to_string(given.status) + " " +
                         std::to_string(given.bytes));
        } catch (std::exception const& why) {
            fail(host, why.what());
        }
    }
    void fail(std::string const& host, std::string const& why) {
        ++failed_;
        output_.line(host + " failed: " + why);
    }

    ssh_errand errand_;
    key_handle key_;
    std::atomic<std::size_t> failed_ = 0;
    bench::output output_;
};

} // namespace

int main(int count, char** word) {
    fan_out everything(read_errand(count, word));
    return everything.run() ? 0 : 1;
}
