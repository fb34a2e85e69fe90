#pragma once

#include <trawl/ssh_agent.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The messages of draft-miller-ssh-agent, without I/O. Each is framed by its length:
//
//     uint32 length | byte type | contents
namespace trawl::ssh::detail {

/// What an agent is asked to sign.
struct sign_request {
    std::string key, data;
    std::uint32_t flags = 0;
};

std::string frame(std::string_view message);
/// The first whole message of `bytes`, which is taken off; nullopt when there is none.
std::optional<std::string_view> take_frame(std::string_view& bytes);

std::string make_identities_request();
std::string make_sign_request(sign_request const& what);
std::string make_identities_answer(agent_key const& only);
std::string make_signature_answer(std::string_view signature);
std::string make_failure();

std::optional<std::vector<agent_key>> parse_identities_answer(std::string_view message);
std::optional<std::string> parse_signature_answer(std::string_view message);
std::optional<sign_request> parse_sign_request(std::string_view message);

} // namespace trawl::ssh::detail
