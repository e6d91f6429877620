"""The four IDX files of MNIST or Fashion-MNIST, from the first source that has them right.

What one source gave stays, and only the rest is asked of the next. A file counts only if its
content has the pinned SHA-256, so that even plain http is safe and the output is the same from
every source.
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mnist_vae.errors import PipelineError
from mnist_vae.files import atomic, write_text
from mnist_vae.sources import File, Source, gunzip, sources
from mnist_vae.web import LIMITS, FetchError, Limits


@dataclass(frozen=True)
class DownloadParams:
    """The key of params.yaml that decides what is downloaded."""

    dataset: str


OWN = "folder"  # the data set that is already here
# Of the uncompressed files whose .gz and plain MD5 are published (tests/unit/test_download.py).
_TRAIN_IMAGES = partial(File, "train-images-idx3-ubyte", 47_040_016)
_TRAIN_LABELS = partial(File, "train-labels-idx1-ubyte", 60_008)
_TEST_IMAGES = partial(File, "t10k-images-idx3-ubyte", 7_840_016)
_TEST_LABELS = partial(File, "t10k-labels-idx1-ubyte", 10_008)
FILES = {
    "mnist": (
        _TRAIN_IMAGES("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        _TRAIN_LABELS("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        _TEST_IMAGES("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        _TEST_LABELS("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
    "fashion-mnist": (
        _TRAIN_IMAGES("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        _TRAIN_LABELS("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        _TEST_IMAGES("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        _TEST_LABELS("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
}


def download(params: DownloadParams, folder: Path, mirror: str, limits: Limits = LIMITS) -> None:
    """Put the dataset's four uncompressed IDX files into `folder`.

    `mirror` is the value of MNIST_MIRROR, empty for none. For a user's own images, `folder` only
    says where they are: DVC warns of an empty one. Raises PipelineError as `fetch`, and if `mirror`
    is of no known kind.
    """
    if params.dataset == OWN:
        write_text(folder / "README", "The images are those in data_folder.\n")
        _say("nothing to download: the images are those in data_folder")
        return
    fetch(FILES[params.dataset], folder, sources(params.dataset, mirror, limits))


def fetch(files: Sequence[File], folder: Path, origins: Iterable[Source]) -> None:
    """Put `files` into `folder`, each from the first of `origins` that has it right.

    Keeps files that are there and whole. Raises PipelineError, which tells what every source said,
    if a file is to be had from none.
    """
    missing: list[File] = []
    for file in files:
        for leftover in folder.glob(f".{file.name}.*.tmp"):  # of a killed run; DVC would add it
            leftover.unlink()
        if _is_whole(folder / file.name, file):
            _say(f"{file.name}: already there, SHA-256 ok")
        else:
            missing.append(file)
    answers: list[str] = []
    for source in origins if missing else ():
        missing = _fetch_from(source, missing, folder, answers)
        if not missing:
            return
    if missing:
        names = ", ".join(file.name for file in missing)
        raise PipelineError(
            "\n  ".join([f"no source has {names}:", *answers])
            + "\nSet MNIST_MIRROR to a folder or URL that has the four files, plain or .gz, and run"
            " this again."
        )


def unpack(data: bytes, file: File) -> bytes:
    """Return the content of `file` from its bytes, plain or .gz.

    Raises FetchError if it isn't exactly the file that was pinned.
    """
    if data[:2] == b"\x1f\x8b":
        data = gunzip(data, file.size)
    if data[:100].lstrip().startswith(b"<"):
        raise FetchError("a web page instead of the file")
    if len(data) > file.size:
        raise FetchError(f"more than {file.size:,} bytes")
    if len(data) < file.size:
        raise FetchError(f"only {len(data):,} of {file.size:,} bytes")
    if not _has_sha(data, file):
        raise FetchError("wrong SHA-256")
    return data


def _fetch_from(
    source: Source, files: Sequence[File], folder: Path, answers: list[str]
) -> list[File]:
    """Write what `source` has of `files`, add why not to `answers`, return what is missing."""
    missing: list[File] = []
    for position, file in enumerate(files):
        try:
            content = unpack(source.read(file), file)
        except FetchError as error:
            answers.append(f"{source.name}: {'' if error.give_up else f'{file.name}: '}{error}")
            _say(answers[-1])
            if error.give_up:
                return [*missing, *files[position:]]
            missing.append(file)
            continue
        with atomic(folder / file.name) as temporary:
            temporary.write_bytes(content)
        _say(f"{file.name}: {file.size / 1e6:.2f} MB from {source.name}, SHA-256 ok")
    return missing


def _is_whole(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size and _has_sha(path.read_bytes(), file)


def _has_sha(content: bytes, file: File) -> bool:
    return hashlib.sha256(content).hexdigest() == file.sha256


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
