"""A peer on a real socket that answers as badly as a test wants."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .samples import private_key

Script = Callable[["Call"], object]
"""What to do with a request; what it returns does not matter."""


class Call:
    """One request that arrived, and the connection to misuse for its answer."""

    def __init__(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        self.connection, self.head, self.body = connection, head, body
        self.path = head.split(b" ")[1].decode()
        lines = head.decode("latin-1").split("\r\n")[1:]
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    def send(self, raw: bytes) -> Self:
        self.connection.sendall(raw)
        return self

    def answer(self, body: bytes, status: str = "200 OK", **headers: str) -> Self:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def drip(self, raw: bytes, pause_s: float = 0.05) -> Self:
        for byte in raw:
            self.send(bytes([byte]))
            time.sleep(pause_s)
        return self

    def pause(self, seconds: float) -> Self:
        time.sleep(seconds)
        return self

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
        self.connection.close()


class Peer:
    """Serves `script` for every request on every connection, and remembers what arrived."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.calls: list[Call] = []
        self.connections = 0
        self.bytes_in_clear = b""
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    byte = connection.recv(1)
                    if not byte:
                        return
                    head += byte
                    self.bytes_in_clear += byte
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = b""
                while len(body) < length:
                    body += connection.recv(length - len(body))
                call = Call(connection, head, body)
                self.calls.append(call)
                self.script(call)

    def stop(self) -> None:
        self._socket.close()
        for connection in self._open:
            connection.close()


class Certificates:
    """An authority of our own, and servers' certificates by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority_key = private_key("alipay1")
        self._authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Authority of a test")])
        self.authority = folder / "authority.pem"
        self.authority.write_bytes(self._certificate(self._authority, self._authority_key.public_key(), None, True))

    def server(self, *hosts: str, self_signed: bool = False) -> ssl.SSLContext:
        """A server's context whose certificate is for `hosts`."""
        key = private_key("alipay2")
        names: list[Any] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0])])
        signer = key if self_signed else None
        pem = self._certificate(subject, key.public_key(), x509.SubjectAlternativeName(names), False, signer)
        path = self._folder / f"{'-'.join(hosts)}-{self_signed}.pem".replace(":", "_").replace("*", "_")
        path.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(self, subject: x509.Name, public: Any, names: Any, authority: bool, signer: Any = None) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if signer else self._authority)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or self._authority_key).public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=not authority,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=authority,
                    crl_sign=authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if names:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer or self._authority_key, SHA256()).public_bytes(Encoding.PEM)
