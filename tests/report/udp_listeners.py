"""Who listens on loopback in these tests: a DogStatsD agent (UDP, Unix socket), PagerDuty over TLS, a plain HTTP server."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers.loopback import Handler, on_loopback


class Agent:
    """Keeps every datagram, in order."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.socket, self.address = listener, address
        self.socket.settimeout(0.05)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)

    def datagrams(self, quiet: float = 0.3) -> list[str]:
        """All that came, once nothing has come for a while."""
        found, last = [], time.monotonic()
        while time.monotonic() - last < quiet:
            try:
                found.append(self.socket.recv(65_536).decode())
                last = time.monotonic()
            except TimeoutError:
                continue
        return found

    def lines(self) -> list[str]:
        """The metrics, checks and events in them."""
        return [line for datagram in self.datagrams() for line in datagram.split("\n") if line]


@contextmanager
def udp_agent() -> Iterator[Agent]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        yield Agent(listener, f"udp://127.0.0.1:{listener.getsockname()[1]}")


@contextmanager
def unix_agent(folder: Path) -> Iterator[Agent]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "dsd.socket"))
        yield Agent(listener, f"unix://{folder / 'dsd.socket'}")


@dataclass
class Request:
    """One request, as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Web:
    """A server that answers as ``answer`` says, and keeps the requests that it took."""

    answer: Callable[[Request], Answer | None]
    """None: say nothing at all for a while."""
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    silence: float = 30.0
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def web(answer: Callable[[Request], Answer | None], tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    site = Web(answer)

    class Answers(Handler):
        def handle_one(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding"):
                body: Any = raw
            else:
                try:
                    body = json.loads(raw) if raw else None
                except ValueError:
                    body = raw.decode("utf-8", "replace")
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            site.requests.append(request)
            said = site.answer(request)
            if said is None:
                site.over.wait(site.silence)
                return
            status, document, headers = said
            out = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"content-type": "application/json", "content-length": str(len(out)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_PUT = handle_one

    with on_loopback(Answers, tls) as port:
        site.url = f"{'https' if tls else 'http'}://localhost:{port}"
        try:
            yield site
        finally:
            site.over.set()


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that nobody signed: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(hosts, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, keyfile = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, keyfile)
    return file, context


class PagerDuty:
    """What PagerDuty makes of events: incidents by dedup key."""

    def __init__(self) -> None:
        self.moods: list[int | str] = []
        """What the next requests get instead of an answer: a status, ``garbage``, ``silence``; then all is well."""
        self.events: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> Answer | None:
        mood = self.moods.pop(0) if self.moods else 202
        if mood == "silence":
            return None
        if mood == "garbage":
            return 200, b"<html>not json", {"content-type": "text/html"}
        if mood != 202:
            return int(mood), {"status": "no", "message": "no", "errors": ["no"]}, {"Retry-After": "1"}
        self.events.append(request.body)
        return 202, {"status": "success", "message": "Event processed", "dedup_key": request.body["dedup_key"]}, {}

    @property
    def open(self) -> set[str]:
        """The dedup keys of incidents that are open."""
        found: set[str] = set()
        for event in self.events:
            (found.add if event["event_action"] == "trigger" else found.discard)(event["dedup_key"])
        return found
