"""Report files come from a real SFTP server, and only from the one whose key was given."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import asyncssh
import pytest

from ops.fetching import Server, fetch
from ops.stack import OpsFailed

DAY = date(2026, 11, 22)
FOLDER = "v1/settlements/2188120000000001/20261122"


class _Passwords(asyncssh.SSHServer):
    asked = 0

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        _Passwords.asked += 1
        return (username, password) == ("shop", "sesame")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "sftp" / FOLDER
    folder.mkdir(parents=True)
    (folder / "transactionItems_20261122_000.csv").write_text("one\n<END>\n")
    (folder / "transactionItems_20261122_001.csv").write_text("two\n<END>\n")
    (folder / "archive").mkdir()
    return tmp_path / "sftp"


@pytest.fixture
def server(files: Path) -> Iterator[Server]:
    """An SFTP server on this machine, with a key of its own."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    _Passwords.asked = 0

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=_Passwords,
            server_host_keys=[key],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(files).encode()),
        )

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(60)
    yield Server("127.0.0.1", listener.get_port(), "shop", key.export_public_key().decode(), password="sesame")
    loop.call_soon_threadsafe(listener.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def _fetched(server: Server, day: date = DAY) -> dict[str, str]:
    found: dict[str, str] = {}
    names = fetch(server, "2188120000000001", day, lambda name, path: found.update({name: path.read_text()}))
    assert names == list(found)
    return found


def test_every_file_of_the_day_is_brought(server: Server) -> None:
    assert _fetched(server) == {
        "transactionItems_20261122_000.csv": "one\n<END>\n",
        "transactionItems_20261122_001.csv": "two\n<END>\n",
    }


def test_a_day_without_a_folder_has_no_files(server: Server) -> None:
    assert _fetched(server, date(2026, 11, 23)) == {}


def test_a_server_with_another_key_gets_no_password(server: Server) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    with pytest.raises(OpsFailed, match="another host key"):
        _fetched(Server(server.host, server.port, server.user, other, password=server.password))
    assert _Passwords.asked == 0


def test_a_wrong_password_is_said_in_one_line(server: Server) -> None:
    with pytest.raises(OpsFailed, match=r"127\.0\.0\.1: "):
        _fetched(Server(server.host, server.port, server.user, server.host_key, password="wrong"))
