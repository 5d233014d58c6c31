"""A client and a server over aioquic that keep the interop runner's contract: HTTP/0.9 over QUIC ("hq-interop"), driven by the
environment (ROLE, TESTCASE, REQUESTS, SSLKEYLOGFILE, QLOGDIR; WWW, DOWNLOADS, UPLOADS, CERTS, LISTEN, PORT as in ../quic-go/main.go)."""

import asyncio
import json
import logging
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from aioquic.quic.logger import QuicFileLogger
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite, SessionTicket

import http3

ALPN = "hq-interop"
# A client that is to move does so when it has received that much.
MOVE_AFTER = 500_000
UNSUPPORTED = 127
CASES = {
    "handshake", "transfer", "longrtt", "chacha20", "multiplexing", "blackhole", "amplificationlimit", "handshakeloss",
    "handshakecorruption", "transferloss", "transfercorruption", "ipv6", "multiconnect", "retry", "resumption", "zerortt",
    "keyupdate", "v2", "versionnegotiation", "connectionmigration", "rebind-port", "rebind-addr",
    "http3", "http3post", "http3trailers", "http3upload", "http3retry", "http3keyupdate",
}
TESTCASE = os.environ.get("TESTCASE", "")
CERTS = Path(os.environ.get("CERTS") or "/certs")


def configuration(is_client: bool) -> QuicConfiguration:
    alpn = "h3" if TESTCASE.startswith("http3") else ALPN
    made = QuicConfiguration(is_client=is_client, alpn_protocols=[alpn], idle_timeout=30.0)
    if TESTCASE == "chacha20":
        made.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
    if TESTCASE == "v2":
        made.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
        if is_client:
            made.original_version = QuicProtocolVersion.VERSION_1
    if TESTCASE == "versionnegotiation":
        made.supported_versions = [QuicProtocolVersion.VERSION_1]
        if is_client:  # Begins with a reserved version.
            made.supported_versions = [0x1A2A3A4A, QuicProtocolVersion.VERSION_1]
    if os.environ.get("QLOGDIR"):
        made.quic_logger = QuicFileLogger(os.environ["QLOGDIR"])
    if os.environ.get("SSLKEYLOGFILE"):
        made.secrets_log_file = open(os.environ["SSLKEYLOGFILE"], "a", buffering=1)
    return made


class Protocol(QuicConnectionProtocol):
    resumed = False

    def quic_event_received(self, event):
        if isinstance(event, HandshakeCompleted):
            self.resumed = event.session_resumed
        elif isinstance(event, ConnectionTerminated) and event.error_code:
            print(f"connection: error {event.error_code:#x} {event.reason_phrase}", file=sys.stderr)
        super().quic_event_received(event)


async def run_server() -> None:
    made = configuration(False)
    made.load_cert_chain(CERTS / "cert.pem", CERTS / "priv.key")
    www = Path(os.environ.get("WWW") or "/www")
    tickets: dict[bytes, SessionTicket] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("ascii", "replace").strip()
        if line.startswith("GET /"):
            path = www / os.path.normpath(line[4:]).lstrip("/")
            if path.is_file():
                writer.write(path.read_bytes())
            else:
                print("request:", line, file=sys.stderr)
        writer.write_eof()

    await serve(
        os.environ.get("LISTEN") or "::",
        int(os.environ.get("PORT") or 443),
        configuration=made,
        create_protocol=Protocol,
        retry=TESTCASE == "retry",
        session_ticket_handler=lambda ticket: tickets.__setitem__(ticket.ticket, ticket),
        session_ticket_fetcher=tickets.get,
        stream_handler=lambda reader, writer: asyncio.ensure_future(answer(reader, writer)),
    )
    print("listening", flush=True)
    await asyncio.Event().wait()


async def fetch_all(requests: list[str], ticket: SessionTicket | None = None, early: bool = False) -> SessionTicket | None:
    made = configuration(True)
    made.load_verify_locations(str(CERTS / "ca.pem"))
    made.session_ticket = ticket
    downloads = Path(os.environ.get("DOWNLOADS") or "/downloads")
    first = urlparse(requests[0])
    received: asyncio.Queue[SessionTicket] = asyncio.Queue()
    begun = time.monotonic()
    async with connect(
        first.hostname,
        first.port or 443,
        configuration=made,
        create_protocol=Protocol,
        session_ticket_handler=received.put_nowait,
        wait_connected=not early,
    ) as connection:

        async def fetch(request: str) -> None:
            path = urlparse(request).path
            reader, writer = await connection.create_stream()
            writer.write(f"GET {path}\r\n".encode())
            writer.write_eof()
            content = b""
            if TESTCASE == "connectionmigration":
                content = await reader.readexactly(MOVE_AFTER)
                await move(connection)
            (downloads / os.path.basename(path)).write_bytes(content + await reader.read())

        if TESTCASE == "keyupdate":
            await connection.ping()
            connection.request_key_update()
        handshake_ms = round((time.monotonic() - begun) * 1000)
        await asyncio.gather(*map(fetch, requests))
        state = {"handshakeMs": handshake_ms, "resumed": connection.resumed}
        print(json.dumps(state), flush=True)
        if TESTCASE in ("resumption", "zerortt") and ticket is None:
            return await asyncio.wait_for(received.get(), 10)
    return None


async def move(connection: Protocol) -> None:
    """To another socket, as aioquic's own example does it: there is no method for that, and no probe."""
    connection.change_connection_id()
    connection._transport.close()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: connection, local_addr=("::", 0))
    await connection.ping()  # Says where we are: so far we only receive.


async def run_client() -> None:
    requests = os.environ.get("REQUESTS", "").split()
    if not requests:
        sys.exit("REQUESTS is empty")
    if TESTCASE in ("multiconnect", "handshakeloss", "handshakecorruption"):
        for request in requests:
            await fetch_all([request])
    elif TESTCASE in ("resumption", "zerortt"):
        ticket = await fetch_all(requests[:1])
        await fetch_all(requests[1:], ticket, TESTCASE == "zerortt")
    else:
        await fetch_all(requests)


if TESTCASE not in CASES:
    print("unsupported test case:", TESTCASE)
    sys.exit(UNSUPPORTED)
logging.basicConfig(level=logging.WARNING)
is_client = os.environ.get("ROLE") == "client"
if TESTCASE.startswith("http3"):
    made = configuration(is_client)
    asyncio.run(http3.run_client(made, CERTS, TESTCASE) if is_client else http3.run_server(made, CERTS))
else:
    asyncio.run(run_client() if is_client else run_server())
