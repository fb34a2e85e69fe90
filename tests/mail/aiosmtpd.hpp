#pragma once

#include "mail/peers.hpp"
#include "test.hpp"

#include <trawl/async.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

namespace trawl::test {

/// A CA (ca.pem), another one (other.pem), and a server's certificate and key in a folder.
inline void make_certificates(std::filesystem::path const& at) {
    write_file(at / "names", "subjectAltName=DNS:mx.test.example,IP:127.0.0.1\n");
    write_file(at / "make", "set -e; cd " + at.string() + R"(
new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj '/CN=trawl test CA'
openssl req -x509 $new -keyout other.key -out other.pem -days 2 -subj '/CN=some other CA'
openssl req $new -keyout server.key -out server.csr -subj '/CN=mx.test.example'
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names
)");
    if (child_process({"sh", at / "make"}, at / "make.log").wait() != 0)
        skip("needs openssl: " + read_file(at / "make.log"));
}

/// aiosmtpd with a certificate for mx.test.example and 127.0.0.1, and one user: bob, s3cret.
class aiosmtpd {
public:
    explicit aiosmtpd(std::string const& mode) : process(command(mode), folder.path / "log") {
        for (auto end = clock::now() + std::chrono::seconds(15);
             clock::now() < end && process.running(); ::usleep(5000)) {
            if (!std::filesystem::exists(folder.path / "port")) continue;
            port = static_cast<std::uint16_t>(std::stoi(read_file(folder.path / "port")));
            return;
        }
        FAIL("aiosmtpd did not start: " << read_file(folder.path / "log"));
    }
    std::string message() const { return read_file(folder.path / "message"); }
    std::string session() const { return read_file(folder.path / "session"); }
    std::string ca() const { return folder.path / "ca.pem"; }

    temporary_folder folder;
    child_process process;
    std::uint16_t port = 0;

private:
    static constexpr char script[] = R"PY(
import asyncio, os, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
folder, mode = sys.argv[1:]
def store(name, content):
    with open(folder + '/' + name + '.new', 'wb') as f: f.write(content)
    os.rename(folder + '/' + name + '.new', folder + '/' + name)
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('no'): return '550 5.1.1 no such user'
        if address.startswith('later'): return '451 4.2.0 greylisted'
        envelope.rcpt_tos.append(address)
        return '250 2.1.5 ok'
    async def handle_DATA(self, server, session, envelope):
        store('message', envelope.original_content)
        store('session', repr((session.ssl is not None, session.auth_data and session.auth_data.login, envelope.mail_from, envelope.rcpt_tos)).encode())
        return '250 2.0.0 taken'
def check(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b'bob' and data.password == b's3cret', handled=False, auth_data=data)
async def main():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder + '/server.pem', folder + '/server.key')
    def made():
        return SMTP(Handler(), hostname='mx', tls_context=None if mode in ('plain', 'implicit') else tls,
                    authenticator=check, auth_require_tls=False, auth_exclude_mechanism=['PLAIN'] if mode == 'login' else [])
    server = await asyncio.get_running_loop().create_server(made, '127.0.0.1', 0, ssl=tls if mode == 'implicit' else None)
    store('port', str(server.sockets[0].getsockname()[1]).encode())
    await server.serve_forever()
asyncio.run(main())
)PY";

    std::vector<std::string> command(std::string const& mode) const {
        std::string const python = "/usr/bin/python3"; // whose packages are the system's
        if (!have(python) || child_process({python, "-c", "import aiosmtpd.smtp"}).wait() != 0)
            skip("needs python3-aiosmtpd");
        make_certificates(folder.path);
        write_file(folder.path / "server.py", script);
        return {python, folder.path / "server.py", folder.path, mode};
    }
};

} // namespace trawl::test
