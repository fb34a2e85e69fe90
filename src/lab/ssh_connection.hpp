#pragma once

#include "lab/lab.hpp"
#include "lab/libssh.hpp"
#include "lab/ssh_hosts.hpp"

#include <trawl/async.hpp>
#include <trawl/detail/parking.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/task_group.hpp>

#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::lab {

class command;

/// Who may log in and what a host answers; the hosts of one ssh_hosts share it.
struct ssh_policy {
    ssh_hosts::options configuration;
    key_handle user_key;
    std::string password;
    std::string home;                ///< where commands run
    offload_pool* starter = nullptr; ///< where commands are started
    ssh_hosts::statistics stats;
};

/// One client of one SSH host: libssh's server side, never blocking.
///
/// drive() is the only pump: it lets libssh send and receive what the socket takes and then settles
/// what the callbacks left behind (a command to start, a closed channel, room to write). It runs
/// when the socket is readable, when it is writable while libssh holds unsent bytes, and after each
/// of our own writes. libssh's callbacks only take notes.
class ssh_connection {
public:
    /// `host` and `policy` outlive the connection.
    ssh_connection(asio::ip::tcp::socket client, ssh_bind host, ssh_policy& policy);
    ssh_connection(ssh_connection const&) = delete;
    ssh_connection& operator=(ssh_connection const&) = delete;
    ~ssh_connection();

    /// Until the client goes, fails to log in, or the call is cancelled.
    awaitable<> serve();

private:
    struct channel;
    struct callbacks;

    awaitable<> begin(task_group& group);
    awaitable<> read_loop();
    awaitable<> write_loop();
    awaitable<> login_deadline();

    void drive();
    void exchange_keys();
    void pump();
    void settle();
    bool unsent() const;
    void end(std::string_view why);
    void reset();

    awaitable<> run_channel(channel& to);
    awaitable<> answer(channel& to, canned_answer with);
    awaitable<> run_command(channel& to);
    awaitable<> supervise(channel& to, command& process, task_group& group);
    void finish(channel& to);
    awaitable<> forward(channel& to, asio::posix::stream_descriptor& from, bool is_stderr);
    awaitable<> feed(channel& from, command& into);
    awaitable<> send(channel& to, std::string_view bytes, bool is_stderr);
    awaitable<> changed(channel& on);
    std::vector<std::string> environment(channel const& of) const;

    asio::ip::tcp::socket socket_;
    asio::ip::tcp::endpoint local_, peer_;
    ssh_policy& policy_;
    fault fault_;
    session_handle session_;
    event_handle event_;
    ssh_server_callbacks_struct server_callbacks_{};
    std::list<channel> channels_;
    detail::waiter_list unsent_;
    task_group* group_ = nullptr;
    int failed_logins_ = 0;
    bool keys_exchanged_ = false, logged_in_ = false, ended_ = false;
};

} // namespace trawl::lab
