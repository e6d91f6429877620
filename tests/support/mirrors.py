"""Four small files in MNIST's place, and a real HTTP server that answers as it is told."""

import gzip
import hashlib
import http.server
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_vae import download, sources, web
from mnist_vae.download import unpack
from mnist_vae.sources import File, Source
from mnist_vae.web import FetchError

LIMITS = web.Limits(connect=5, read=5, total=30, pauses=(0.01, 0.01))


def pinned(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest())


NAMES = [file.name for file in download.FILES["mnist"]]
# Four small files in the place of MNIST's.
CONTENT = {
    name: b"\0\0\x08" + random.Random(name).randbytes(200_000 + 7 * len(name)) for name in NAMES
}
FILES = tuple(pinned(name, content) for name, content in CONTENT.items())
FIRST, *OTHERS = FILES


class Server(http.server.ThreadingHTTPServer):
    """A real server; `answers` says what happens at a path, everything else is 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[str] = []
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/data"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what we test."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.answers.get(self.path, status(404))(self)

    def log_message(self, *_: object) -> None:
        pass

    def start(self, length: int | None, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


Answer = Callable[[Handler], None]


def status(code: int) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def body(content: bytes, **headers: str) -> Answer:
    def answer(handler: Handler) -> None:
        handler.start(len(content), **headers)
        handler.wfile.write(content)

    return answer


def half(content: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.start(len(content))
        handler.wfile.write(content[: len(content) // 2])

    return answer


def cut_without_length(content: bytes) -> Answer:
    def answer(handler: Handler) -> None:
        handler.start(None)
        handler.wfile.write(content[: len(content) // 2])

    return answer


def hang(handler: Handler) -> None:
    handler.server.over.wait()


def hang_half_way(handler: Handler) -> None:
    handler.start(FIRST.size)
    handler.wfile.write(b"\0" * 1000)
    handler.server.over.wait()


def drip(handler: Handler) -> None:
    handler.start(FIRST.size)
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b"\0")


def drip_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b"x")


def in_turn(*answers: Answer) -> Answer:
    left = iter(answers)
    return lambda handler: next(left)(handler)


def serve(server: Server, ending: str) -> None:
    for name, content in CONTENT.items():
        sent = gzip.compress(content, 1) if ending else content
        server.answers[f"/data/{name}{ending}"] = body(sent)


def fill(folder: Path, ending: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / f"{name}{ending}").write_bytes(gzip.compress(content) if ending else content)
    return folder


def mirror(value: str, limits: web.Limits = LIMITS) -> Source:
    return next(sources.sources("mnist", value, limits))


def assert_whole(folder: Path, files: tuple[File, ...] = FILES) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        file.name: CONTENT[file.name] for file in files
    }


def refusal(source: Source, file: File = FIRST) -> str:
    with pytest.raises(FetchError) as caught:
        unpack(source.read(file), file)
    return str(caught.value)
