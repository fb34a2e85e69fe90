#!/usr/bin/python3
"""trawl mail and trawl sendmail against aiosmtpd and a real Postfix in a folder of its own, and with TRAWL_LONG=1
against Exim and OpenSMTPD: what lies in the maildir is, byte for byte, what was sent. Usage: test_mtas.py TRAWL.
Output: TAP."""
import base64
import glob
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time

trawl = sys.argv[1]
HEADER = b'From: a@b.example\nTo: x@c.example\nDate: Sat, 01 Jan 2022 00:00:00 +0000\nMessage-ID: <%s@b.example>\n'
BODIES = {
    'plain': b'Subject: x\n\nhello\n',
    'dots': b'Subject: x\n\n.\n..\n.a\n\n.\n',
    'eight': 'Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n'
             'Content-Transfer-Encoding: 8bit\n\nZürich 東京\n'.encode(),
    'smuggling': b'Subject: x\n\na\r.\rb\nc\r\n.\r\nMAIL FROM:<evil@b.example>\n',
    'folded': b'Subject: a\n long\n\tsubject\nX-Empty:\n\n' + b'y' * 990 + b'\n',
    'large': b'Subject: x\n\n' + (b'.' + b'z' * 70 + b'\n') * 10000,
    'unended': b'Subject: x\n\nno line end',
}


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def as_delivered(message):
    """Any line end is one, and the last line has one."""
    text = message.replace(b'\r\n', b'\n').replace(b'\r', b'\n')
    return text if text.endswith(b'\n') else text + b'\n'


class DovecotAuth(socketserver.StreamRequestHandler):
    """The server of Dovecot's authentication protocol that Postfix asks: bob, s3cret."""

    def say(self, *words):
        self.wfile.write('\t'.join(words).encode() + b'\n')

    def judge(self, number, user, password):
        if (user, password) == (b'bob', b's3cret'):
            self.say('OK', number, 'user=bob')
        else:
            self.say('FAIL', number, 'user=' + user.decode())

    def handle(self):
        for line in ('VERSION\t1\t1', 'MECH\tPLAIN\tplaintext', 'MECH\tLOGIN\tplaintext', 'SPID\t1', 'CUID\t1',
                     'COOKIE\t' + '0' * 32, 'DONE'):
            self.say(line)
        logins = {}
        for line in self.rfile:
            verb, number, *words = line.decode().rstrip('\n').split('\t') + ['']
            if verb == 'AUTH' and words[0] == 'PLAIN':
                response = next(w for w in words if w.startswith('resp='))[5:]
                self.judge(number, *base64.b64decode(response).split(b'\0')[1:])
            elif verb == 'AUTH':
                logins[number] = []
                self.say('CONT', number, base64.b64encode(b'Username:').decode())
            elif verb == 'CONT':
                logins[number].append(base64.b64decode(words[0]))
                if len(logins[number]) == 2:
                    self.judge(number, *logins.pop(number))
                else:
                    self.say('CONT', number, base64.b64encode(b'Password:').decode())


class Server:
    """An MTA that runs in `folder`, listens on 127.0.0.1:`port` and delivers to mail/all, a maildir."""
    tls = chunking = True

    def start(self, folder, words):
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, start_new_session=True)
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f'Bail out! {self.name}: {self.process.stderr.read()!r} {self.log()}')
                time.sleep(0.02)

    def log(self):
        lines = ''
        for path in glob.glob(self.folder + '/*log'):
            with open(path, errors='replace') as log:
                lines += log.read()
        return lines

    def delivered(self, mark):
        """The message that has `mark` in it, when it has arrived."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for path in glob.glob(self.folder + '/mail/all/new/*'):
                with open(path, 'rb') as message:
                    text = message.read()
                if mark in text:
                    os.remove(path)
                    return text
            time.sleep(0.01)
        return b''

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


class Aiosmtpd(Server):
    name = 'aiosmtpd'
    chunking = False

    def __init__(self, folder):
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult
        self.folder, self.kept = folder, folder + '/mail/all/new/'
        os.makedirs(self.kept)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder + '/server.pem', folder + '/server.key')

        def judge(_server, _session, _envelope, _mechanism, login):
            return AuthResult(success=(login.login, login.password) == (b'bob', b's3cret'), handled=False)

        logging.disable(logging.WARNING)  # about what it does itself
        self.controller = Controller(self, hostname='127.0.0.1', port=free_port(), tls_context=tls,
                                     authenticator=judge, auth_require_tls=False)
        self.port = self.controller.port
        self.controller.start()

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address == 'no@c.example':
            return '550 5.1.1 nobody'
        if address == 'later@c.example':
            return '450 4.2.0 greylisted'
        envelope.rcpt_tos.append(address)
        return '250 2.1.5 ok'

    async def handle_DATA(self, _server, _session, envelope):
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as message:
            message.write(envelope.original_content.replace(b'\r\n', b'\n'))
        os.rename(message.name, self.kept + os.path.basename(message.name))
        return '250 2.0.0 kept'

    def stop(self):
        self.controller.stop()


class Unpacked(Server):
    """One of Debian that cannot be installed beside Postfix: unpacked into the folder, and run where `users` (name: id)
    are in /etc/passwd, which is in a mount namespace of its own."""

    def unpack(self, folder, packages, users):
        self.folder, self.port = folder, free_port()
        subprocess.run(f'apt-get download -qq {packages} && for f in *.deb; do dpkg -x $f root; done',
                       shell=True, cwd=folder, check=True, capture_output=True)
        for name, line in (('passwd', '{0}:x:{1}:{1}::/nonexistent:/bin/false\n'), ('group', '{0}:x:{1}:\n')):
            with open('/etc/' + name) as known, open(f'{folder}/{name}', 'w') as more:
                more.write(known.read() + ''.join(line.format(*user) for user in users.items()))

    def start_alone(self, folder, script):
        """Runs the shell script, which ends with exec, in namespaces of its own."""
        self.start(folder, ['unshare', '--mount', '--uts', 'sh', '-c', f'''set -e
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/group /etc/group
{script}'''])


class Exim(Unpacked):
    name = 'Exim'

    def __init__(self, folder):
        self.unpack(folder, 'exim4-daemon-light libidn12', {'Debian-exim': 8888})
        for name in ('spool', 'mail'):
            os.mkdir(f'{folder}/{name}')
        for name in ('', '/spool', '/mail', '/server.key'):
            os.chown(folder + name, 8888, 8888)
        with open(folder + '/exim.conf', 'w') as out:
            out.write(f'''primary_hostname = mx.test.example
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
exim_path = {folder}/root/usr/sbin/exim4
keep_environment = LD_LIBRARY_PATH
deliver_drop_privilege = true
daemon_smtp_ports = {self.port}
local_interfaces = 127.0.0.1
domainlist local = c.example
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
tls_advertise_hosts = *
tls_certificate = {folder}/server.pem
tls_privatekey = {folder}/server.key
chunking_advertise_hosts = *
host_lookup =
rfc1413_hosts =
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
begin acl
rcpt:
  deny local_parts = no
       message = 5.1.1 nobody
  defer local_parts = later
        message = 4.2.0 greylisted
  accept domains = +local
  deny
begin routers
all:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail/all
  maildir_format
  create_directory
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{bob}}}}{{eq{{$auth3}}{{s3cret}}}}}}}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{bob}}}}{{eq{{$auth2}}{{s3cret}}}}}}}}
begin retry
* * F,1h,1m
''')
        self.start_alone(folder, f'''export LD_LIBRARY_PATH={folder}/root/usr/lib/x86_64-linux-gnu
exec {folder}/root/usr/sbin/exim4 -C {folder}/exim.conf -bdf''')


class OpenSMTPD(Unpacked):
    name = 'OpenSMTPD'
    # No TLS, and without it no AUTH. Debian 12's keeps private keys in a process of their own and finds the one for a
    # signature by data that it hung on an RSA or EC_KEY; OpenSSL 3 loses that on the way, and every handshake ends inside it
    # with "missing private key". Tried with openssl s_client, too: RSA, P-256 and P-384, TLS 1.2 and 1.3, RSA key exchange
    # (smtp ciphers).
    tls = False

    def __init__(self, folder):
        self.unpack(folder, 'opensmtpd', {'opensmtpd': 8889, 'opensmtpq': 8890})
        os.mkdir(folder + '/mail')
        os.chown(folder + '/mail', pwd.getpwnam('nobody').pw_uid, -1)
        with open(folder + '/smtpd.conf', 'w') as out:
            out.write(f'''table everybody {{ "@" = nobody }}
filter no phase rcpt-to match rcpt-to {{ "no@c.example" }} reject "550 5.1.1 nobody"
filter later phase rcpt-to match rcpt-to {{ "later@c.example" }} reject "450 4.2.0 greylisted"
filter both chain {{ no, later }}
listen on 127.0.0.1 port {self.port} hostname mx.test.example filter both
action all maildir "{folder}/mail/all" virtual <everybody>
match from any for domain c.example action all
''')
        self.start_alone(folder, f'''hostname mx.test.example
for hidden in /usr/libexec /var/lib /var/spool /run; do mount -t tmpfs -o mode=755 none $hidden; done
mkdir -p /var/lib/opensmtpd/empty
ln -s {folder}/root/usr/libexec/opensmtpd /usr/libexec/opensmtpd
exec {folder}/root/usr/sbin/smtpd -d -f {folder}/smtpd.conf 2>{folder}/log''')


class Postfix(Server):
    name = 'Postfix'
    daemons = '/usr/lib/postfix/sbin'

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.auth = socketserver.ThreadingTCPServer(('127.0.0.1', 0), DovecotAuth)
        self.auth.daemon_threads = True
        threading.Thread(target=self.auth.serve_forever, daemon=True).start()
        owner = pwd.getpwnam('postfix')
        nobody = pwd.getpwnam('nobody')
        queue = folder + '/queue'
        for name in ('active bounce corrupt defer deferred flush hold incoming private public maildrop saved trace pid'
                     ).split():
            os.makedirs(f'{queue}/{name}')
            if name != 'pid':
                os.chown(f'{queue}/{name}', owner.pw_uid, -1)
        os.mkdir(folder + '/data')
        os.chown(folder + '/data', owner.pw_uid, -1)
        os.mkdir(folder + '/mail')
        os.chown(folder + '/mail', nobody.pw_uid, -1)
        with open(folder + '/main.cf', 'w') as out:
            out.write(f'''compatibility_level = 3.6
queue_directory = {queue}
data_directory = {folder}/data
daemon_directory = {self.daemons}
command_directory = /usr/sbin
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.test.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
virtual_mailbox_domains = c.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{nobody.pw_uid}
virtual_gid_maps = static:{nobody.pw_gid}
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/server.pem
smtpd_tls_key_file = {folder}/server.key
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{self.auth.server_address[1]}
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ no@c.example = 550 5.1.1 nobody }},
  {{ later@c.example = 450 4.2.0 greylisted }} }}
smtpd_client_restrictions =
default_process_limit = 20
''')
        with open(folder + '/master.cf', 'w') as out:
            out.write(f'''127.0.0.1:{self.port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
''')
        self.start(folder, [self.daemons + '/master', '-c', folder, '-d'])

    def stop(self):
        super().stop()
        self.auth.shutdown()


def make_certificates(folder):
    with open(folder + '/names', 'w') as names:
        names.write('subjectAltName=DNS:mx.test.example,IP:127.0.0.1\n')
    subprocess.run(['sh', '-c', '''set -e
new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
openssl req -x509 $new -keyout ca.key -out ca.pem -days 2 -subj '/CN=trawl test CA'
openssl req $new -keyout server.key -out server.csr -subj '/CN=mx.test.example'
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out server.pem -extfile names'''],
                   cwd=folder, check=True, capture_output=True)


def run(words, message, environment=None):
    done = subprocess.run([trawl, *words], input=message, capture_output=True, timeout=60,
                          env={**os.environ, **(environment or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


class Cases:
    def __init__(self):
        self.number = self.failed = 0

    def check(self, name, good, *why):
        self.number += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.number} - {name}', flush=True)
        for line in () if good else '\n'.join(map(str, why)).splitlines():
            print('# ' + line)


def check_way(mta, cases, way, words):
    wrong, sent = [], []
    for name, body in BODIES.items():
        mark = f'{name}-{cases.number}'.encode()
        message = HEADER % mark + body
        code, out, err = run(['mail', '--server', f'127.0.0.1:{mta.port}', '--trace', *words, '--eml', '-'], message)
        sent.append((mark, message))
        if code != 0:
            wrong.append(f'{name}: exit {code} {out}{err[-2000:]}')
    for mark, message in sent:
        found = mta.delivered(b'<' + mark + b'@')
        if not found.endswith(as_delivered(message)):
            wrong.append(f'{mark} was delivered as {found[:1000]!r}')
    cases.check(f'{mta.name} delivers what was sent {way}, byte for byte', not wrong, *wrong)


def check_logins(mta, cases, folder):
    for name in ('s3cret', 'wrong'):
        with open(f'{folder}/{name}', 'w') as password:
            password.write(name + '\n')
    tls = ['--tls', 'required', '--ca-file', folder + '/ca.pem']
    login = ['--user', 'bob', '--password-file', folder + '/s3cret']
    check_way(mta, cases, 'by STARTTLS', tls)
    check_way(mta, cases, 'by STARTTLS and AUTH PLAIN', tls + login)
    check_way(mta, cases, 'by AUTH LOGIN', ['--tls', 'none', *login, '--auth', 'LOGIN'])
    server = ['mail', '--server', f'127.0.0.1:{mta.port}', '--trace']
    code, _, err = run([*server, *tls, *login, '--auth', 'PLAIN', '--eml', '-'], HEADER % b'auth' + BODIES['plain'])
    cases.check(f'{mta.name}: the trace shows TLS, AUTH and CHUNKING, and not the password',
                code == 0 and '> STARTTLS' in err and '> AUTH PLAIN ***' in err and
                ('> BDAT ' in err) == mta.chunking and 's3cret' not in err, err)
    mta.delivered(b'<auth@')
    code, out, err = run([*server, *tls, '--user', 'bob', '--password-file', folder + '/wrong', '-f', 'a@b.example',
                          'x@c.example'], b'x\n')
    cases.check(f'{mta.name}: a wrong password ends with exit code 12', code == 12 and 'deferred' in out,
                code, out, err)
    code, out, err = run([*server, *tls, '--user', 'bob', '--password-file', folder + '/wrong', '--batch', '-'],
                         b'{"from":"a@b.example","to":"x@c.example","text":"t"}\n' * 20)
    cases.check(f'{mta.name}: so does a batch, which does not try it for every message', code == 12 and
                out.count(': deferred (') == 20 and err.count('> AUTH') <= 5, code, out, err)


def check_recipients(mta, cases):
    code, out, err = run(['mail', '--server', f'127.0.0.1:{mta.port}', '--tls', 'none', '-f', 'a@b.example', '-s',
                          'three', 'x@c.example', 'no@c.example', 'later@c.example'], b'x\n')
    cases.check(f'{mta.name} answers for each recipient', code == 1 and out.startswith('x@c.example: accepted (250 ')
                and 'no@c.example: refused (550 ' in out and 'later@c.example: deferred (45' in out,
                code, out, err)
    mta.delivered(b'Subject: three')


def check_batch(mta, cases):
    lines = ''.join(f'{{"from":"a@b.example","to":"x{i}@c.example","subject":"batch {i};","text":"t"}}\n'
                    for i in range(100))
    code, out, err = run(['mail', '--batch', '-', '-j', '10', '--server', f'127.0.0.1:{mta.port}'], lines.encode())
    missing = [i for i in range(100) if not mta.delivered(f'Subject: batch {i};'.encode())]
    extra = glob.glob(mta.folder + '/mail/all/new/*')
    cases.check(f'{mta.name}: a batch of 100 arrives once each', code == 0 and out.count(': accepted (') == 100 and
                not missing and not extra, code, out[-500:], err, missing, extra)


def check_sendmail(mta, cases):
    message = b'To: x@c.example, later@c.example\nBcc: y@c.example\nSubject: by sendmail\n\n.\nbody\n'
    code, out, err = run(['sendmail', '-t', '-i', '-f', 'a@b.example'], message,
                         {'TRAWL_SMTP_SERVER': f'127.0.0.1:{mta.port}'})
    found = mta.delivered(b'Subject: by sendmail')
    cases.check(f'sendmail hands a message to {mta.name} and says 75 for who was deferred',
                code == 75 and 'later@c.example' in err and b'Bcc' not in found
                and found.endswith(b'Subject: by sendmail\n\n.\nbody\n'), code, out, err, found)


def main():
    if (not os.path.exists(Postfix.daemons + '/master') or os.geteuid() != 0 or not shutil.which('openssl')
            or not importlib.util.find_spec('aiosmtpd')):
        print('1..0 # SKIP needs Postfix, aiosmtpd, openssl and root')
        return 0
    cases = Cases()
    # The packages of the others are fetched: only in long runs.
    for kind in (Aiosmtpd, Postfix, Exim, OpenSMTPD) if os.environ.get('TRAWL_LONG') else (Aiosmtpd, Postfix):
        with tempfile.TemporaryDirectory(prefix='trawl-mta-') as folder:
            os.chmod(folder, 0o755)
            make_certificates(folder)
            mta = kind(folder)
            before = cases.failed
            try:
                check_way(mta, cases, 'in plain text', ['--tls', 'none'])
                if mta.tls:
                    check_logins(mta, cases, folder)
                check_recipients(mta, cases)
                check_batch(mta, cases)
                check_sendmail(mta, cases)
            finally:
                mta.stop()
            if cases.failed > before:
                print(''.join('# ' + line + '\n' for line in mta.log().splitlines()[-40:]))
    print(f'1..{cases.number}')
    return 0


sys.exit(main())
