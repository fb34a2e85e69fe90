#pragma once

#include "ssh/fixture.hpp"

#include <libssh/libssh.h>
#include <libssh/server.h>

#include <atomic>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <thread>

namespace trawl::test {

/// An SSH server on a thread of its own that logs in and ends commands as the test wants, one
/// connection after the other: what sshd cannot be made to do.
class scripted_server {
public:
    struct script {
        int methods = SSH_AUTH_METHOD_PASSWORD;
        std::string password = "correct horse";
        int questions = 1;              ///< keyboard-interactive rounds
        bool key_is_not_enough = false; ///< publickey succeeds in part only
        bool refuse_exec = false;
        bool status = true, eof = true, close = true; ///< what follows the output
        bool status_first = false;                    ///< it precedes the output
        bool hang_up = false;                         ///< and then the connection ends
        bool opens_channel = false;                   ///< before the output, as for forwarding
        bool at_once = false; ///< all that from the command's start on arrives in one segment
    };

    explicit scripted_server(script what) : script_(std::move(what)) {
        run_program({"/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                     (folder_ / "host").string()},
                    folder_);
        bind_ = ssh_bind_new();
        ssh_bind_options_set(bind_, SSH_BIND_OPTIONS_HOSTKEY, (folder_ / "host").c_str());
        bool const no = false;
        ssh_bind_options_set(bind_, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
            ::listen(listener_, 16) != 0 ||
            ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
            throw std::runtime_error("cannot listen");
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    scripted_server(scripted_server const&) = delete;
    scripted_server& operator=(scripted_server const&) = delete;
    ~scripted_server() {
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
        ssh_bind_free(bind_);
    }

    /// Options that reach this server and trust its key; no credentials.
    ssh::options options() const {
        ssh::options how{.host = "127.0.0.1"};
        how.port = port_;
        how.user = "ops";
        how.known = std::make_shared<ssh::host_keys>();
        how.known->parse("[127.0.0.1]:" + std::to_string(port_) + " " +
                             read_text(folder_ / "host.pub"),
                         "fixture");
        return how;
    }

    /// Logins that were tried, in order: "password", "keyboard-interactive", ...
    std::vector<std::string> tried;
    std::atomic<bool> channel_refused = false; ///< that of script.opens_channel

private:
    void serve() {
        for (int fd = 0; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
            auto* const session = ssh_new();
            if (ssh_bind_accept_fd(bind_, session, fd) == SSH_OK &&
                ssh_handle_key_exchange(session) == SSH_OK)
                converse(session);
            ssh_disconnect(session);
            ssh_free(session);
        }
    }

    void converse(ssh_session session) {
        int round = 0;
        ssh_channel channel = nullptr;
        while (auto* const message = ssh_message_get(session)) {
            bool answered = false;
            int const type = ssh_message_type(message), kind = ssh_message_subtype(message);
            if (type == SSH_REQUEST_SERVICE)
                answered = ssh_message_service_reply_success(message) == SSH_OK;
            if (type == SSH_REQUEST_AUTH) answered = log_in(session, message, kind, round);
            if (type == SSH_REQUEST_CHANNEL_OPEN && kind == SSH_CHANNEL_SESSION) {
                channel = ssh_message_channel_request_open_reply_accept(message);
                answered = true;
            }
            bool hung_up = false;
            if (type == SSH_REQUEST_CHANNEL && kind == SSH_CHANNEL_REQUEST_EXEC &&
                !script_.refuse_exec) {
                int const hold = script_.at_once;
                ::setsockopt(ssh_get_fd(session), IPPROTO_TCP, TCP_CORK, &hold, sizeof hold);
                ssh_message_channel_request_reply_success(message);
                answered = true;
                if (script_.opens_channel) open_channel(session);
                run_command(session, channel);
                hung_up = script_.hang_up;
            }
            if (!answered) ssh_message_reply_default(message);
            ssh_message_free(message);
            if (hung_up) return;
        }
    }

    void open_channel(ssh_session session) {
        long const seconds = 5;
        ssh_options_set(session, SSH_OPTIONS_TIMEOUT, &seconds);
        auto* const own = ssh_channel_new(session);
        channel_refused =
            ssh_channel_open_reverse_forward(own, "localhost", 80, "localhost", 1) == SSH_ERROR &&
            std::string(ssh_get_error(session)).find("Channel opening failure") !=
                std::string::npos;
        ssh_channel_free(own);
    }

    // Deprecated in favour of callbacks, which cannot answer from a loop of our own.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    bool log_in(ssh_session session, ssh_message message, int kind, int& round) {
        ssh_message_auth_set_methods(message, script_.methods);
        if (kind == SSH_AUTH_METHOD_PASSWORD && (script_.methods & kind)) {
            tried.push_back("password");
            if (ssh_message_auth_password(message) != script_.password) return false;
            return ssh_message_auth_reply_success(message, 0) == SSH_OK;
        }
        if (kind == SSH_AUTH_METHOD_PUBLICKEY && (script_.methods & kind)) {
            if (ssh_message_auth_publickey_state(message) == SSH_PUBLICKEY_STATE_NONE)
                return ssh_message_auth_reply_pk_ok_simple(message) == SSH_OK;
            tried.push_back("publickey");
            return ssh_message_auth_reply_success(message, script_.key_is_not_enough) == SSH_OK;
        }
        if (kind == SSH_AUTH_METHOD_INTERACTIVE && (script_.methods & kind)) {
            if (ssh_message_auth_kbdint_is_response(message)) {
                bool const right =
                    ssh_userauth_kbdint_getnanswers(session) == 2 &&
                    std::string(ssh_userauth_kbdint_getanswer(session, 0)) == script_.password &&
                    std::string(ssh_userauth_kbdint_getanswer(session, 1)).empty();
                if (!right) return false;
                if (++round >= script_.questions)
                    return ssh_message_auth_reply_success(message, 0) == SSH_OK;
            } else {
                tried.push_back("keyboard-interactive");
            }
            char const* prompts[] = {"Password: ", "Visible name: "};
            char echo[] = {0, 1};
            return ssh_message_auth_interactive_request(message, "login", "", 2, prompts, echo) ==
                   SSH_OK;
        }
        return false;
    }

#pragma GCC diagnostic pop

    void run_command(ssh_session session, ssh_channel channel) {
        if (script_.status_first) ssh_channel_request_send_exit_status(channel, 4);
        ssh_channel_write(channel, "output\n", 7);
        ssh_channel_write_stderr(channel, "complaint\n", 10);
        if (script_.status && !script_.status_first)
            ssh_channel_request_send_exit_status(channel, 4);
        if (script_.eof) ssh_channel_send_eof(channel);
        if (script_.close) ssh_channel_close(channel);
        ssh_blocking_flush(session, 2000);
    }

    script script_;
    scratch folder_;
    ssh_bind bind_ = nullptr;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

} // namespace trawl::test
