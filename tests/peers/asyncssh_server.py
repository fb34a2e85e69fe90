"""asyncssh_server.py PORT HOST_KEY AUTHORIZED_KEYS: an SSH server on 127.0.0.1 that runs commands under /bin/sh; its
user is peer, whose password is "correct horse"."""
import asyncio
import sys

import asyncssh

port, host_key, authorized_keys = sys.argv[1:]


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return (username, password) == ("peer", "correct horse")

    def connection_requested(self, dest_host, dest_port, orig_host, orig_port):
        return True


async def carry(source, sink, end=False):
    while piece := await source.read(32768):
        sink.write(piece)
        await sink.drain()
    if end:
        sink.close()


async def run(process):
    pipe = asyncio.subprocess.PIPE
    command = await asyncio.create_subprocess_shell(process.command, stdin=pipe, stdout=pipe, stderr=pipe)
    typing = asyncio.ensure_future(carry(process.stdin, command.stdin, end=True))
    await asyncio.gather(carry(command.stdout, process.stdout), carry(command.stderr, process.stderr))
    typing.cancel()
    process.exit(await command.wait())


async def serve():
    await asyncssh.listen("127.0.0.1", int(port), server_factory=Server, server_host_keys=[host_key],
                          authorized_client_keys=authorized_keys, process_factory=run, encoding=None, sftp_factory=True)
    await asyncio.Event().wait()

asyncio.run(serve())
