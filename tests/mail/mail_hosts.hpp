#pragma once

#include "dns/name_server.hpp"
#include "mail/peers.hpp"

#include <trawl/dns.hpp>

#include <asio/ssl/context.hpp>
#include <asio/ssl/stream.hpp>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <map>
#include <memory>
#include <set>

// Domains with their name server and mail servers, all on loopback.
namespace trawl::test {

/// A name server whose answers are tables.
class zones {
public:
    using bytes = name_server::bytes;

    explicit zones(asio::any_io_executor executor)
        : server(executor, [this](name_server::query const& q) { return answer(q); }) {}

    void mx(std::string const& domain, unsigned preference, std::string const& exchanger) {
        auto data = name_server::encode(exchanger);
        data.insert(data.begin(), {static_cast<unsigned char>(preference >> 8),
                                   static_cast<unsigned char>(preference & 255)});
        add(domain, name_server::mx, std::move(data));
    }
    void address(std::string const& name, std::string const& text) {
        auto one = name_server::address(name, text);
        add(name, one.type, std::move(one.data));
    }
    void alias(std::string const& name, std::string const& target) { aliases[name] = target; }
    void text(std::string const& name, std::string const& value) {
        bytes data{static_cast<unsigned char>(value.size())};
        data.insert(data.end(), value.begin(), value.end());
        add(name, name_server::txt, std::move(data));
    }
    void tlsa(std::uint16_t port, std::string const& host, dns::tlsa const& one) {
        bytes data{one.usage, one.selector, one.matching};
        data.insert(data.end(), one.data.begin(), one.data.end());
        add("_" + std::to_string(port) + "._tcp." + host, 52, std::move(data));
    }

    std::optional<name_server::reply> answer(name_server::query const& q) const {
        name_server::reply made;
        made.authenticated = secure && !insecure.count(q.name);
        if (silent.count(q.name)) return std::nullopt;
        if (broken.count(q.name)) made.rcode = 2;
        if (missing.count(q.name)) made.rcode = 3;
        if (made.rcode) return made;
        auto name = q.name;
        for (auto at = aliases.find(name); at != aliases.end(); at = aliases.find(name)) {
            made.records.push_back({name, name_server::cname, name_server::encode(at->second)});
            name = at->second;
        }
        for (auto const& one : records)
            if (one.name == name && one.type == q.type) made.records.push_back(one);
        return made;
    }

    bool secure = false;                           ///< answers are proved (AD)
    std::set<std::string> insecure;                ///< but for these names
    std::set<std::string> broken, missing, silent; ///< SERVFAIL, NXDOMAIN, nothing at all
    std::map<std::string, std::string> aliases;
    std::vector<name_server::record> records;
    name_server server;

private:
    void add(std::string const& name, unsigned type, bytes data) {
        records.push_back({name, type, std::move(data)});
    }
};

/// Keys and certificates made with openssl: an authority, and one that it gave to `name`.
struct certificates {
    explicit certificates(std::string const& name) {
        write_file(folder.path / "names", "subjectAltName=DNS:" + name + "\n");
        write_file(folder.path / "make", "set -e; cd " + folder.path.string() + R"(
new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj '/CN=trawl test CA'
openssl req $new -keyout server.key -out server.csr -subj '/CN=)" +
                                             name + R"('
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names
cat server.pem ca.pem > chain.pem
)");
        if (child_process({"sh", folder.path / "make"}, folder.path / "make.log").wait() != 0)
            skip("needs openssl: " + read_file(folder.path / "make.log"));
    }
    std::string file(std::string const& name) const { return folder.path / name; }

    /// A record for the certificate in `name`: of the whole (selector 0) or its key (1), by nothing,
    /// SHA-256 or SHA-512.
    dns::tlsa record(std::string const& name, std::uint8_t usage, std::uint8_t selector,
                     std::uint8_t matching) const {
        std::unique_ptr<BIO, int (*)(BIO*)> in(BIO_new_file(file(name).c_str(), "r"), BIO_free);
        std::unique_ptr<X509, void (*)(X509*)> one(
            PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), X509_free);
        unsigned char* der = nullptr;
        int const size = selector == 0 ? i2d_X509(one.get(), &der)
                                       : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(one.get()), &der);
        std::string data(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
        OPENSSL_free(der);
        if (matching > 0) {
            std::array<unsigned char, 64> digest;
            unsigned length = 0;
            EVP_Digest(data.data(), data.size(), digest.data(), &length,
                       matching == 1 ? EVP_sha256() : EVP_sha512(), nullptr);
            data.assign(digest.begin(), digest.begin() + length);
        }
        return {usage, selector, matching, data};
    }

    temporary_folder folder;
};

/// A mail server that takes everything, but for what its script says.
class mail_host {
public:
    struct taken {
        std::string from, text;
        std::vector<std::string> to;
        bool tls = false;
    };
    /// The reply to a line; empty: the usual one; "close": none, and the end. The lone dot is a line.
    using script = std::function<std::string(std::string const& line)>;

    mail_host(asio::any_io_executor executor, std::string const& address, std::uint16_t port,
              script says = {})
        : acceptor_(executor, {asio::ip::make_address(address), port}), script_(std::move(says)) {}

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    void offer_tls(std::string const& chain, std::string const& key) {
        tls_.emplace(asio::ssl::context::tls_server);
        tls_->use_certificate_chain_file(chain);
        tls_->use_private_key_file(key, asio::ssl::context::pem);
    }
    void offer_no_tls() { tls_.reset(); }
    /// Starts to serve; ends with the group.
    void start(task_group& group) { group.spawn_background(serve(group)); }

    std::vector<taken> messages;
    std::size_t connections = 0, at_once = 0, most_at_once = 0;
    std::string server_name; ///< SNI of the last handshake
    bool broken_tls = false;
    std::chrono::milliseconds pause{0}; ///< before each reply

private:
    awaitable<> serve(task_group& group) {
        for (;;) {
            auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
            ++connections;
            group.spawn_background(talk(std::move(socket)));
        }
    }

    awaitable<> talk(asio::ip::tcp::socket socket) {
        most_at_once = std::max(most_at_once, ++at_once);
        try {
            std::string const banner = "220 mx ESMTP\r\n";
            co_await asio::async_write(socket, asio::buffer(banner), asio::use_awaitable);
            if (co_await follow(socket, false)) {
                if (broken_tls) {
                    co_await asio::async_write(socket, asio::buffer(banner), asio::use_awaitable);
                } else {
                    asio::ssl::stream<asio::ip::tcp::socket&> wire(socket, *tls_);
                    co_await wire.async_handshake(asio::ssl::stream_base::server,
                                                  asio::use_awaitable);
                    auto const* name =
                        SSL_get_servername(wire.native_handle(), TLSEXT_NAMETYPE_host_name);
                    server_name = name ? name : "";
                    co_await follow(wire, true);
                }
            }
        } catch (std::system_error const& e) {
            --at_once;
            if (is_cancelled(e)) throw;
            co_return;
        }
        --at_once;
    }

    /// True when TLS is to begin.
    template <class Stream>
    awaitable<bool> follow(Stream& wire, bool secure) {
        std::string pending;
        taken now;
        bool text = false;
        for (;;) {
            auto const size = co_await asio::async_read_until(wire, asio::dynamic_buffer(pending),
                                                              "\r\n", asio::use_awaitable);
            auto const line = pending.substr(0, size - 2);
            pending.erase(0, size);
            if (text && line != ".") {
                now.text += line + '\n';
                continue;
            }
            auto reply = script_ ? script_(line) : std::string();
            if (reply == "close") co_return false;
            bool const usual = reply.empty();
            if (usual) reply = respond(line, secure, now);
            text = reply.starts_with("354");
            if (line == "." && reply.starts_with("2")) {
                now.tls = secure;
                messages.push_back(now); // taken, whether or not the client lives to hear it
            }
            if (reply.starts_with("250") && line.starts_with("MAIL")) now = {path(line), "", {}};
            if (reply.starts_with("250") && line.starts_with("RCPT")) now.to.push_back(path(line));
            if (pause.count() > 0) co_await sleep_for(pause);
            reply += "\r\n";
            co_await asio::async_write(wire, asio::buffer(reply), asio::use_awaitable);
            if (usual && line == "STARTTLS") co_return true;
            if (line == "QUIT") co_return false;
        }
    }

    std::string respond(std::string const& line, bool secure, taken const& now) const {
        if (line.starts_with("EHLO"))
            return tls_ && !secure ? "250-mx\r\n250-8BITMIME\r\n250 STARTTLS"
                                   : "250-mx\r\n250 8BITMIME";
        if (line == "STARTTLS") return "220 go";
        if (line == "DATA") return now.to.empty() ? "554 no recipients" : "354 go";
        if (line == "QUIT") return "221 bye";
        return "250 2.0.0 ok";
    }
    static std::string path(std::string const& line) {
        auto const begin = line.find('<') + 1;
        return line.substr(begin, line.find('>') - begin);
    }

    asio::ip::tcp::acceptor acceptor_;
    script script_;
    std::optional<asio::ssl::context> tls_;
};

} // namespace trawl::test
