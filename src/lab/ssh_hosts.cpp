#include "lab/ssh_hosts.hpp"

#include "lab/libssh.hpp"
#include "lab/listener.hpp"
#include "lab/ssh_connection.hpp"

#include <trawl/error.hpp>
#include <trawl/task_group.hpp>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <optional>
#include <utility>

namespace trawl::lab {

using asio::ip::tcp;

namespace {

key_handle make_key() {
    ssh_key made = nullptr;
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &made) != SSH_OK)
        throw error(errc::keys, "lab ssh");
    return key_handle(made);
}

std::string public_text(ssh_key key) {
    char* text = nullptr;
    if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) throw error(errc::keys, "lab ssh");
    auto line = fmt::format("{} {}", ssh_key_type_to_char(ssh_key_type(key)), text);
    ssh_string_free_char(text);
    return line;
}

// 24 letters and digits: over 120 bits, and no character that a shell or an editor could take
// amiss.
std::string make_password() {
    constexpr std::string_view alphabet = "abcdefghijkmnpqrstuvwxyz23456789"; // 32: no modulo bias
    std::array<unsigned char, 24> random;
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
        throw error(errc::keys, "lab password");
    std::string word;
    for (auto const byte : random) word += alphabet[byte % alphabet.size()];
    OPENSSL_cleanse(random.data(), random.size());
    return word;
}

std::string home_of_current_user() {
    auto const* entry = ::getpwuid(::geteuid());
    return entry && entry->pw_dir && ::access(entry->pw_dir, X_OK) == 0 ? entry->pw_dir : "/";
}

// A descriptor a host, and room for two a connection and four a command.
void allow_descriptors(std::size_t hosts) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlim_t const wanted = hosts * 7 + 256;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : std::min(limit.rlim_max, wanted);
    ::setrlimit(RLIMIT_NOFILE, &limit); // as far as it goes; listening tells when it was not enough
}

struct host {
    asio::ip::address address;
    fault how = fault::none;
    key_handle key;
    bind_handle bind;
    std::optional<tcp::acceptor> listener;
};

bind_handle make_bind(ssh_key key) {
    bind_handle made(ssh_bind_new());
    if (!made) throw error(errc::keys, "lab ssh");
    bool const no = false;
    ssh_key own = ssh_key_dup(key);
    auto const set = [&](ssh_bind_options_e option, void const* value) {
        return ssh_bind_options_set(made.get(), option, value) == SSH_OK;
    };
    // No file of the machine's own libssh servers; no group exchange, which reads /etc/ssh/moduli.
    if (!own || !set(SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) ||
        !set(SSH_BIND_OPTIONS_KEY_EXCHANGE, "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-"
                                            "sha2-nistp256,diffie-hellman-group14-sha256") ||
        !set(SSH_BIND_OPTIONS_IMPORT_KEY, own)) // takes the key
        throw error(errc::keys, "lab ssh", ssh_get_error(made.get()));
    return made;
}

} // namespace

struct ssh_hosts::state {
    asio::any_io_executor executor;
    std::unique_ptr<offload_pool> own_pool;
    ssh_policy policy;
    std::vector<host> hosts;
    std::uint16_t port = 0;

    state(asio::any_io_executor e, options o) : executor(std::move(e)) {
        assert(!o.hosts.empty());
        policy.configuration = std::move(o);
        policy.user_key = make_key();
        policy.password = make_password();
        policy.home = home_of_current_user();
        auto const& configuration = policy.configuration;
        policy.starter = configuration.starter;
        if (!policy.starter) {
            own_pool =
                std::make_unique<offload_pool>(offload_pool::options{.threads = 2, .name = "lab"});
            policy.starter = own_pool.get();
        }
        allow_descriptors(configuration.hosts.size());
        for (auto const& address : configuration.hosts) {
            auto const known = configuration.faults.find(address);
            auto& one = hosts.emplace_back();
            one.address = address;
            one.how = known == configuration.faults.end() ? fault::none : known->second;
            one.key = make_key();
            one.bind = make_bind(one.key.get());
        }
        listen_all();
    }
    ~state() { OPENSSL_cleanse(policy.password.data(), policy.password.size()); }

    void listen_all();
    bool listen_at(std::uint16_t wanted);
    awaitable<> accept_all(host& at, task_group& group);
    awaitable<> serve_one(host& at, tcp::socket client);
    awaitable<> stay_silent(tcp::socket& client);
};

void ssh_hosts::state::listen_all() {
    auto const wanted = policy.configuration.port;
    if (wanted != 0) {
        for (auto& each : hosts) each.listener = listen(executor, {each.address, wanted});
        port = wanted;
    } else {
        int attempts = 0;
        while (!listen_at(0))
            if (++attempts == 100) throw error(errc::no_port, "lab ssh");
    }
    for (auto& each : hosts)
        if (each.how == fault::refuse) each.listener.reset();
}

// The first host chooses; somebody may have that port on another of the addresses.
bool ssh_hosts::state::listen_at(std::uint16_t wanted) {
    try {
        for (auto& each : hosts) {
            each.listener = listen(executor, {each.address, wanted});
            if (wanted == 0) port = wanted = each.listener->local_endpoint().port();
        }
        return true;
    } catch (std::system_error const& failure) {
        for (auto& each : hosts) each.listener.reset();
        if (failure.code() != std::errc::address_in_use) throw;
        return false;
    }
}

awaitable<> ssh_hosts::state::accept_all(host& at, task_group& group) {
    for (;;) {
        auto client = co_await accept(*at.listener);
        group.spawn(serve_one(at, std::move(client)));
    }
}

// One client's failure is its own: it is reported, not passed on to the others.
awaitable<> ssh_hosts::state::serve_one(host& at, tcp::socket client) {
    try {
        if (at.how == fault::hang) {
            co_await stay_silent(client);
        } else {
            ssh_connection connection(std::move(client), at.bind.get(), policy);
            co_await connection.serve();
        }
    } catch (std::system_error const& failure) {
        if (policy.configuration.watch && !is_cancelled(failure))
            policy.configuration.watch->log(severity::debug, "lab ssh " + at.address.to_string(),
                                            failure.what());
    }
}

awaitable<> ssh_hosts::state::stay_silent(tcp::socket& client) {
    ++policy.stats.connections;
    std::array<char, 1024> bytes;
    asio::error_code gone;
    while (!gone)
        co_await client.async_read_some(asio::buffer(bytes),
                                        asio::redirect_error(asio::use_awaitable, gone));
}

ssh_hosts::ssh_hosts(asio::any_io_executor executor, options configuration)
    : state_(std::make_unique<state>(std::move(executor), std::move(configuration))) {}
ssh_hosts::~ssh_hosts() = default;

awaitable<> ssh_hosts::serve() {
    auto const body = [this](task_group& group) -> awaitable<> {
        for (auto& each : state_->hosts)
            if (each.listener) group.spawn(state_->accept_all(each, group));
        co_return;
    };
    co_await with_group(body);
}

std::uint16_t ssh_hosts::port() const noexcept { return state_->port; }
std::string const& ssh_hosts::password() const noexcept { return state_->policy.password; }
ssh_hosts::statistics const& ssh_hosts::stats() const noexcept { return state_->policy.stats; }

std::string ssh_hosts::private_key() const {
    char* text = nullptr;
    if (ssh_pki_export_privkey_base64(state_->policy.user_key.get(), nullptr, nullptr, nullptr,
                                      &text) != SSH_OK)
        throw error(errc::keys, "lab ssh");
    std::string key = text;
    OPENSSL_cleanse(text, key.size());
    ssh_string_free_char(text);
    return key;
}

std::string ssh_hosts::public_key() const {
    return public_text(state_->policy.user_key.get()) + " trawl-lab\n";
}

// sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: [address]:port unless the port is 22.
std::string ssh_hosts::known_hosts() const {
    std::string lines;
    for (auto const& each : state_->hosts) {
        auto const address = each.address.to_string();
        auto const key = public_text(each.key.get());
        if (port() == 22)
            lines += fmt::format("{} {}\n", address, key);
        else
            lines += fmt::format("[{}]:{} {}\n", address, port(), key);
    }
    return lines;
}

} // namespace trawl::lab
