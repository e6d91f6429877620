"""How two versions of an output are compared, in words."""

import hashlib
import json
from pathlib import Path

import numpy as np

from mnist_vae import arrays as arrays_file
from mnist_vae.experiments.compare import describe, listing


def test_numbers_by_their_largest_difference(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    contents = []
    for change in (0.0, 0.25):
        arrays_file.write_arrays(path, {"w": np.zeros(3), "b": np.array([1.0, 2.0 + change])})
        contents.append(path.read_bytes())
    assert describe("a.safetensors", *contents) == "largest difference 0.25, in b"
    assert describe("a.safetensors", contents[0], contents[0]) == "the numbers are equal"
    arrays_file.write_arrays(path, {"w": np.zeros(4), "b": np.zeros(2)})
    assert "w has another shape: (3,) before, (4,) now" in describe(
        "a.safetensors", contents[0], path.read_bytes()
    )
    arrays_file.write_arrays(path, {"w": np.zeros(4)})
    assert "other entries: b" in describe("a.safetensors", contents[0], path.read_bytes())
    assert "damaged" in describe("a.safetensors", contents[0], contents[1][:-3])


def test_json_by_the_path_of_its_numbers() -> None:
    def version(**numbers: float) -> bytes:
        return json.dumps({"greyscale": numbers}).encode()

    assert (
        describe("m.json", version(elbo=-1.5, rate=1), version(elbo=-1.25, rate=1))
        == "largest difference 0.25, in greyscale.elbo"
    )
    assert "other entries: greyscale.rate" in describe(
        "m.json", version(elbo=-1, rate=1), version(elbo=-1)
    )


def test_csv_with_empty_cells_and_files_without_numbers() -> None:
    before, after = b"epoch,elbo\n1,\n2,-3\n", b"epoch,elbo\n1,\n2,-3.5\n"
    assert describe("h.csv", before, before) == "the numbers are equal"
    assert "elbo" in describe("h.csv", before, after)
    assert describe("p.png", b"12", b"123") == "2 bytes before, 3 now"


def test_a_folder_by_its_files(tmp_path: Path) -> None:
    for name in ("a", "b/c", "new"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    before = [
        {"relpath": "a", "md5": hashlib.md5(b"a", usedforsecurity=False).hexdigest()},
        {"relpath": "b/c", "md5": hashlib.md5(b"other", usedforsecurity=False).hexdigest()},
        {"relpath": "gone", "md5": ""},
    ]
    assert listing(json.dumps(before).encode(), tmp_path) == "other content: b/c, gone, new"
