"""Alipay's report files, brought by SFTP into the stack's inbox. The bucket stays the only way in.

The host key is pinned: whoever answers with another one gets no password.
https://global.alipay.com/docs/ac/reconcile/perform
"""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

import asyncssh

from ops.stack import OpsFailed

CONNECT_TIMEOUT_S = 30

Put = Callable[[str, Path], None]
"""Puts a file into the inbox, under its name."""


@dataclass(frozen=True)
class Server:
    """Alipay's SFTP server. `host_key` is its public key as Alipay's support told it, in OpenSSH's format."""

    host: str
    port: int
    user: str
    host_key: str
    password: str | None = None
    key_file: Path | None = None


def fetch(server: Server, merchant_id: str, day: date, put: Put) -> list[str]:
    """Put every file of a day into the inbox: their names. Raises OpsFailed."""
    folder = f"/v1/settlements/{merchant_id}/{day:%Y%m%d}"
    try:
        return asyncio.run(_fetch(server, folder, put))
    except asyncssh.SFTPNoSuchFile:
        return []  # a day without transactions has no folder
    except asyncssh.HostKeyNotVerifiable:
        raise OpsFailed(f"{server.host} shows another host key than the one you gave; nothing was sent to it") from None
    except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
        raise OpsFailed(f"{server.host}: {error}") from None


async def _fetch(server: Server, folder: str, put: Put) -> list[str]:
    names: list[str] = []
    async with (
        asyncssh.connect(
            server.host,
            server.port,
            username=server.user,
            password=server.password,
            client_keys=[str(server.key_file)] if server.key_file else None,
            known_hosts=([asyncssh.import_public_key(server.host_key)], [], []),
            config=None,  # nothing of the operator's own settings has a say here
            agent_path=None,
            connect_timeout=CONNECT_TIMEOUT_S,
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        for entry in sorted(await sftp.listdir(folder)):
            name = PurePosixPath(entry).name
            if name != entry or name in (".", "..") or not await sftp.isfile(f"{folder}/{name}"):
                continue
            with tempfile.TemporaryDirectory() as scratch:
                target = Path(scratch) / "file"
                await sftp.get(f"{folder}/{name}", str(target))
                put(name, target)
            names.append(name)
    return names
