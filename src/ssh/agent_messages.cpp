#include "ssh/agent_messages.hpp"

#include "ssh/wire.hpp"

namespace trawl::ssh::detail {
namespace {

// draft-miller-ssh-agent §6.1
enum message : char {
    failure_message = 5,
    request_identities = 11,
    identities_answer = 12,
    request_signature = 13,
    signature_answer = 14,
};

bool is(wire_reader& in, message type) { return in.u8() == static_cast<std::uint8_t>(type); }

} // namespace

std::string frame(std::string_view message) {
    std::string out;
    put_string(out, message);
    return out;
}

std::optional<std::string_view> take_frame(std::string_view& bytes) {
    wire_reader in(bytes);
    auto const message = in.string();
    if (message) bytes = in.rest();
    return message;
}

std::string make_identities_request() { return {request_identities}; }
std::string make_failure() { return {failure_message}; }

std::string make_sign_request(sign_request const& what) {
    std::string out{request_signature};
    put_string(out, what.key);
    put_string(out, what.data);
    put_u32(out, what.flags);
    return out;
}

std::string make_identities_answer(agent_key const& only) {
    std::string out{identities_answer};
    put_u32(out, 1);
    put_string(out, only.blob);
    put_string(out, only.comment);
    return out;
}

std::string make_signature_answer(std::string_view signature) {
    std::string out{signature_answer};
    put_string(out, signature);
    return out;
}

std::optional<std::vector<agent_key>> parse_identities_answer(std::string_view message) {
    wire_reader in(message);
    if (!is(in, identities_answer)) return {};
    auto const count = in.u32();
    if (!count) return {};
    std::vector<agent_key> keys; // grows with what is there, not with the count
    for (std::uint32_t i = 0; i < *count; ++i) {
        auto const blob = in.string();
        auto const comment = in.string();
        if (!comment) return {};
        auto const type = wire_reader(*blob).string();
        if (!type) return {};
        keys.push_back({std::string(*type), std::string(*blob), std::string(*comment)});
    }
    return keys;
}

std::optional<std::string> parse_signature_answer(std::string_view message) {
    wire_reader in(message);
    if (!is(in, signature_answer)) return {};
    auto const signature = in.string();
    if (!signature) return {};
    return std::string(*signature);
}

std::optional<sign_request> parse_sign_request(std::string_view message) {
    wire_reader in(message);
    if (!is(in, request_signature)) return {};
    auto const key = in.string();
    auto const data = in.string();
    auto const flags = in.u32();
    if (!flags) return {};
    return sign_request{std::string(*key), std::string(*data), *flags};
}

} // namespace trawl::ssh::detail
