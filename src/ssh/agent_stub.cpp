#include "ssh/agent_stub.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace trawl::ssh::detail {

agent_stub::agent_stub(std::shared_ptr<transport> link, agent_key const& only,
                       std::string const& message)
    : link_(std::move(link)) {
    auto const answers = frame(make_identities_answer(only)) + frame(message);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw failure(std::error_code(errno, std::generic_category()), phase::auth, link_->peer(),
                      "a socket pair for the agent");
    ours_ = ends[0], theirs_ = ends[1];
    auto const sent = ::send(ours_, answers.data(), answers.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    // Behind the answers comes the end: libssh fails where it would wait.
    ::shutdown(ours_, SHUT_WR);
    if (sent == static_cast<ssize_t>(answers.size()))
        ssh_set_agent_socket(link_->handle(), theirs_);
}

agent_stub::~agent_stub() {
    ::close(ours_);
    if (!link_->handle()) return; // libssh has closed its end with the session
    ssh_set_agent_socket(link_->handle(), SSH_INVALID_SOCKET);
    ::close(theirs_);
}

std::optional<sign_request> agent_stub::wanted() const {
    std::string bytes(64 * 1024, '\0');
    auto const got = ::recv(ours_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    auto rest = std::string_view(bytes).substr(0, got > 0 ? static_cast<std::size_t>(got) : 0);
    while (auto const message = take_frame(rest))
        if (auto request = parse_sign_request(*message)) return request;
    return {};
}

} // namespace trawl::ssh::detail
