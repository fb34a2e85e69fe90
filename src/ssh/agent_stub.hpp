#pragma once

#include "ssh/agent_messages.hpp"
#include "ssh/transport.hpp"

#include <memory>
#include <optional>
#include <string>

namespace trawl::ssh::detail {

/// What libssh takes for the agent while it logs in with one key: a socket pair that holds the
/// answers before libssh asks. libssh's agent calls block until they are answered, so nobody may
/// be waited for; what it asked is read afterwards.
///
///     1st login: [this key][failure] -> libssh gives up, and its request tells what to sign
///     the agent signs that, in its own time
///     2nd login: [this key][signature] -> libssh asks for the same and gets it
///
/// libssh 0.10.6 forgets to free the list of keys that it has when it asks for another: some 350
/// bytes are lost for every login attempt but the first of a session.
class agent_stub {
public:
    /// `message`: the answer to a request for a signature. Throws failure when there are no
    /// descriptors.
    agent_stub(std::shared_ptr<transport> link, agent_key const& only, std::string const& message);
    agent_stub(agent_stub const&) = delete;
    agent_stub& operator=(agent_stub const&) = delete;
    ~agent_stub();

    /// What libssh wanted to be signed, if it came so far.
    std::optional<sign_request> wanted() const;

private:
    std::shared_ptr<transport> link_;
    int ours_ = -1, theirs_ = -1;
};

} // namespace trawl::ssh::detail
