"""The HTTP/3 cases over aioquic: files by GET; "http3post" and "http3trailers" send each file to /echo/NAME and want it back, the latter
with its length in a trailer both ways; "http3upload" puts it to /upload/NAME, where the server keeps it."""

import asyncio
import os
import time
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlparse

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import ConnectionTerminated

TRAILER = b"x-length"


class Server(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.echoing: set[int] = set()
        self.keeping: dict[int, BinaryIO] = {}

    def quic_event_received(self, event):
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self.headers(part)
            elif isinstance(part, DataReceived) and part.stream_id in self.echoing:
                self.http.send_data(part.stream_id, part.data, False)
                if part.stream_ended:
                    self.http.send_data(part.stream_id, b"", True)
            elif isinstance(part, DataReceived) and part.stream_id in self.keeping:
                self.keeping[part.stream_id].write(part.data)
                if part.stream_ended:
                    self.keeping.pop(part.stream_id).close()
                    self.http.send_headers(part.stream_id, [(b":status", b"201")], True)
        self.transmit()

    def headers(self, part: HeadersReceived) -> None:
        stream = part.stream_id
        headers = dict(part.headers)
        if stream in self.echoing:  # Trailers.
            self.http.send_headers(stream, [(TRAILER, headers.get(TRAILER, b""))], True)
            return
        path = headers[b":path"].decode()
        if path.startswith("/upload/"):
            self.keeping[stream] = open(Path(os.environ.get("UPLOADS") or "/uploads") / os.path.basename(path), "wb")
            return
        if path.startswith("/echo/"):
            self.echoing.add(stream)
            self.http.send_headers(stream, [(b":status", b"200"), (b"trailer", TRAILER)])
            return
        file = Path(os.environ.get("WWW") or "/www") / os.path.normpath(path).lstrip("/")
        if not file.is_file():
            self.http.send_headers(stream, [(b":status", b"404")], True)
            return
        content = file.read_bytes()
        length = str(len(content)).encode()
        self.http.send_headers(stream, [(b":status", b"200"), (b"content-length", length)])
        self.http.send_data(stream, content, True)


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.waiting: dict[int, asyncio.Future] = {}
        self.answers: dict[int, tuple[list[dict[bytes, bytes]], bytearray]] = {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for future in self.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError(event.reason_phrase))
        for part in self.http.handle_event(event):
            if not isinstance(part, (HeadersReceived, DataReceived)) or part.stream_id not in self.waiting:
                continue
            sections, content = self.answers[part.stream_id]
            if isinstance(part, HeadersReceived):
                sections.append(dict(part.headers))
            else:
                content += part.data
            if part.stream_ended:
                self.waiting.pop(part.stream_id).set_result((sections, bytes(content)))

    async def request(self, method: str, authority: str, path: str, body: bytes | None = None, trailing: bool = False):
        stream = self._quic.get_next_available_stream_id()
        future = self.waiting[stream] = asyncio.get_running_loop().create_future()
        self.answers[stream] = ([], bytearray())
        headers = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        self.http.send_headers(stream, [(n.encode(), v.encode()) for n, v in headers], body is None)
        if body is not None:
            self.http.send_data(stream, body, not trailing)
            if trailing:
                self.http.send_headers(stream, [(TRAILER, str(len(body)).encode())], True)
        self.transmit()
        sections, content = await future
        if sections[0][b":status"] not in (b"200", b"201"):
            raise ConnectionError(f"{path}: status {sections[0][b':status'].decode()}")
        return sections, content


async def run_server(made, certs: Path) -> None:
    made.load_cert_chain(certs / "cert.pem", certs / "priv.key")
    host, port = os.environ.get("LISTEN") or "::", int(os.environ.get("PORT") or 443)
    retry = os.environ.get("TESTCASE") == "http3retry"
    await serve(host, port, configuration=made, create_protocol=Server, retry=retry)
    print("listening", flush=True)
    await asyncio.Event().wait()


async def run_client(made, certs: Path, testcase: str) -> None:
    made.load_verify_locations(str(certs / "ca.pem"))
    downloads = Path(os.environ.get("DOWNLOADS") or "/downloads")
    requests = [urlparse(text) for text in os.environ.get("REQUESTS", "").split()]
    www = Path(os.environ.get("WWW") or "/www")
    begun = time.monotonic()
    first = requests[0]
    async with connect(first.hostname, first.port or 443, configuration=made, create_protocol=Client) as client:

        async def fetch(url) -> None:
            name = os.path.basename(url.path)
            if testcase == "http3upload":
                await client.request("PUT", url.netloc, "/upload/" + name, (www / name).read_bytes())
                return
            if testcase in ("http3post", "http3trailers"):
                sent = (www / name).read_bytes()
                trailing = testcase == "http3trailers"
                sections, content = await client.request("POST", url.netloc, "/echo/" + name, sent, trailing)
                if trailing and sections[-1].get(TRAILER) != str(len(sent)).encode():
                    raise ConnectionError(f"the trailer is {sections[-1]}")
            else:
                _, content = await client.request("GET", url.netloc, url.path)
            (downloads / name).write_bytes(content)

        if testcase == "http3keyupdate":
            await client.ping()
            client.request_key_update()

        # As many at a time as any server allows: aioquic's HTTP/3 does not wait for streams by itself.
        gate = asyncio.Semaphore(90)

        async def one(url) -> None:
            async with gate:
                await fetch(url)

        await asyncio.gather(*map(one, requests))
    print(f'{{"seconds": {time.monotonic() - begun:.2f}}}', flush=True)
