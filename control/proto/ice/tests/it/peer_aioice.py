"""An ICE agent of aioice against ours: credentials and addresses come as arguments, what it is goes to standard output."""

import asyncio
import sys

import aioice.ice

role, remote_user, remote_password, remote_address, remote_port, lite = sys.argv[1:]
aioice.ice.get_host_addresses = lambda **_: ["127.0.0.1"]


async def main():
    connection = aioice.Connection(ice_controlling=role == "controlling", components=1)
    connection.remote_is_lite = lite == "lite"
    await connection.gather_candidates()
    candidate = connection.local_candidates[0]
    print("local", connection.local_username, connection.local_password, candidate.port, candidate.priority, flush=True)
    connection.remote_username = remote_user
    connection.remote_password = remote_password
    await connection.add_remote_candidate(
        aioice.Candidate("1", 1, "udp", 2130706431, remote_address, int(remote_port), "host")
    )
    await connection.add_remote_candidate(None)
    await connection.connect()
    print("connected", flush=True)
    await connection.send(b"\x80media")
    print("received", (await connection.recv()).hex(), flush=True)
    await asyncio.sleep(60)


asyncio.run(main())
