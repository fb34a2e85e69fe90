#include "ssh/algorithms.hpp"

#include "ssh/known_hosts.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

namespace trawl::ssh {
namespace detail {
namespace {

/// A list of the proposal, with libssh's own choice (kex.c, default_methods) for + - and ^.
struct kind {
    char const* name;
    std::string algorithms::*wanted;
    ssh_options_e option, also;
    std::string_view built_in;
};

constexpr kind kinds[] = {
    {"key exchange", &algorithms::key_exchanges, SSH_OPTIONS_KEY_EXCHANGE, SSH_OPTIONS_KEY_EXCHANGE,
     "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
     "ecdh-sha2-nistp521,diffie-hellman-group18-sha512,diffie-hellman-group16-sha512,"
     "diffie-hellman-group-exchange-sha256,diffie-hellman-group14-sha256"},
    {"host key algorithm", &algorithms::host_keys, SSH_OPTIONS_HOSTKEYS, SSH_OPTIONS_HOSTKEYS,
     "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,"
     "rsa-sha2-256"},
    {"cipher", &algorithms::ciphers, SSH_OPTIONS_CIPHERS_C_S, SSH_OPTIONS_CIPHERS_S_C,
     "chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,"
     "aes192-ctr,aes128-ctr"},
    {"MAC", &algorithms::macs, SSH_OPTIONS_HMAC_C_S, SSH_OPTIONS_HMAC_S_C,
     "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"},
};

using names = std::vector<std::string>;

names split(std::string_view text) {
    names all;
    while (!text.empty()) {
        auto const end = std::min(text.find(','), text.size());
        if (end > 0) all.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return all;
}

std::string joined(names const& all) {
    std::string out;
    for (auto const& one : all) out.append(out.empty() ? "" : ",").append(one);
    return out;
}

bool has(names const& all, std::string_view one) {
    return std::ranges::find(all, one) != all.end();
}

/// The host key algorithms whose keys are on record first, as OpenSSH does, so that a host with
/// several keys shows the one that can be compared.
names recorded_first(names all, names const& on_record) {
    std::ranges::stable_partition(all, [&](std::string_view one) {
        return has(on_record, one.starts_with("rsa-sha2-") ? std::string_view("ssh-rsa") : one);
    });
    return all;
}

} // namespace

names resolve_names(std::string_view wanted, std::string_view built_in) {
    auto all = split(built_in);
    char const how = wanted.empty() ? '+' : wanted[0];
    bool const whole = how != '+' && how != '-' && how != '^';
    auto const listed = split(wanted.substr(whole || wanted.empty() ? 0 : 1));
    if (whole) return listed;
    auto const matches = [&](std::string const& one) {
        return std::ranges::any_of(listed, [&](auto const& l) { return wildcard_match(l, one); });
    };
    if (how == '-' || how == '^') std::erase_if(all, matches);
    if (how == '-') return all;
    auto at = how == '^' ? all.begin() : all.end();
    for (auto const& one : listed)
        if (!has(all, one)) at = std::next(all.insert(at, one));
    return all;
}

void propose(transport& link, algorithms const& wanted, names const& on_record) {
    for (auto const& one : kinds) {
        auto const& text = wanted.*one.wanted;
        bool const of_host = one.option == SSH_OPTIONS_HOSTKEYS;
        if (text.empty() && !of_host) continue;
        auto all = resolve_names(text, one.built_in);
        if (text.empty()) all = recorded_first(std::move(all), on_record);
        auto const list = joined(all);
        for (auto option : {one.option, one.also})
            if (list.empty() || ssh_options_set(link.handle(), option, list.c_str()) != SSH_OK)
                throw failure(errc::key_exchange, phase::key_exchange, link.peer(),
                              std::string("no ") + one.name + " of \"" + text + "\" is supported");
    }
}

std::string plain_mismatch(std::string const& words) {
    constexpr std::string_view begin = "kex error : no match for method ";
    constexpr std::pair<std::string_view, std::string_view> methods[] = {
        {"kex algos", "key exchange"},  {"server host key algo", "host key algorithm"},
        {"encryption", "cipher"},       {"mac algo", "MAC"},
        {"compression", "compression"},
    };
    auto const server = words.find(": server ["), client = words.find("], client [");
    if (!words.starts_with(begin) || server == words.npos || client == words.npos) return words;
    auto const method = std::string_view(words).substr(begin.size());
    for (auto const& [theirs, ours] : methods)
        if (method.starts_with(theirs))
            return "no common " + std::string(ours) + "; the server has " +
                   words.substr(server + 10, client - server - 10) + "; proposed " +
                   words.substr(client + 11, words.rfind(']') - client - 11);
    return words;
}

} // namespace detail

std::vector<std::string> unsupported_names(algorithms const& wanted) {
    std::unique_ptr<ssh_session_struct, decltype(&ssh_free)> const trial(ssh_new(), &ssh_free);
    if (!trial) throw std::bad_alloc();
    std::vector<std::string> missing;
    for (auto const& one : detail::kinds) {
        std::string_view text = wanted.*one.wanted;
        if (text.starts_with('-')) continue;
        if (text.starts_with('+') || text.starts_with('^')) text.remove_prefix(1);
        for (auto& name : detail::split(text))
            if (ssh_options_set(trial.get(), one.option, name.c_str()) != SSH_OK)
                missing.push_back(std::move(name));
    }
    return missing;
}

} // namespace trawl::ssh
