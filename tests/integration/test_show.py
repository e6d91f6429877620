"""The commands that show a model, in a real project: of which one, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.sandbox import Project

MODEL = "models/vae.safetensors"


def only_line(said: str) -> str:
    (line,) = said.strip().splitlines()
    assert line.startswith("error: ")
    return line


def drawn(path: Path) -> bytes:
    """A picture without its first line, in which the model is named."""
    return np.asarray(Image.open(path))[60:].tobytes()


def forget(project: Project, name: str) -> Path:
    """Move an output out of DVC's cache; returns where it lies now."""
    lock = (project.folder / "dvc.lock").read_text()
    md5 = re.findall(rf"path: {name}\n\s+hash: md5\n\s+md5: (\w+)", lock)[-1]
    cached = Path(project.dvc("config", "cache.dir").strip()) / "files/md5" / md5[:2] / md5[2:]
    return cached.rename(cached.with_suffix(".gone"))


def test_a_model_is_shown_from_workspace_revision_and_store(
    copied: Project, tmp_path: Path
) -> None:
    inside = Project(copied.folder / "docs", copied.mirror)
    inside.environment = copied.environment | {"PYTHONPATH": str(copied.folder / "src")}
    said = inside.command("sample", "-n", "30")
    assert said.splitlines() == [str(inside.folder / "sample.png")]
    sample = inside.folder / "sample.png"
    first = drawn(sample)
    assert inside.command("sample", "-n", "30", "--of", "HEAD")
    assert drawn(sample) == first  # the same model and seed
    inside.command("sample", "-n", "30", "--seed", "1")
    assert drawn(sample) != first

    assert "has no champion: `vae champion" in only_line(
        copied.command("decode", "0", "0", "--of", "champion", fails=True)
    )
    copied.command("champion", "--metric", "greyscale/validation_elbo")
    copied.command("decode", "0.3", "-1.2", "--of", "champion", "--output", "champion.png")
    copied.command("decode", "0.3", "-1.2")
    decoded = drawn(copied.folder / "decode.png")
    assert drawn(copied.folder / "champion.png") == decoded
    assert (copied.folder / "champion.png").read_bytes() != (  # which says whose it is
        copied.folder / "decode.png"
    ).read_bytes()

    copied.command("interpolate", "3", "17", "--of", "HEAD")
    copied.command("interpolate", "--classes", "4", "9", "--output", "classes.png")
    assert (copied.folder / "interpolate.png").stat().st_size > 5000
    assert (copied.folder / "classes.png").stat().st_size > 5000

    digit = np.zeros((40, 40, 3), np.uint8)
    digit[8:32, 18:22] = 255
    Image.fromarray(digit).save(tmp_path / "digit.png")
    said = copied.command("encode", str(tmp_path / "digit.png"))
    assert (
        "digit.png: in colour, made grey\ndigit.png: of another size, resized to 28 x 28\n" in said
    )
    (elbo, rate, distortion) = map(
        float,
        re.findall(r"ELBO (\S+) nats \(greyscale\): rate (\S+), distortion (\S+) by 1 draws", said)[
            0
        ],
    )
    assert elbo == pytest.approx(-(rate + distortion), abs=0.02)
    assert copied.command("encode", str(tmp_path / "digit.png")) == said

    (copied.folder / "data/processed/test.safetensors").unlink()
    copied.command("decode", "0.3", "-1.2")  # a model alone is enough
    assert drawn(copied.folder / "decode.png") == decoded


def test_what_cannot_be_shown_is_one_line(copied: Project) -> None:
    for arguments, says in (
        (("decode", "1"), "1 latent coordinate given, but this model has 2"),
        (("decode", "1", "1", "--of", "nobody"), "neither a revision nor an experiment's name"),
        (("sample", "-n", "0"), "-n is 0; it must be from 1 to 400"),
        (("interpolate", "3"), "name two test images"),
        (("interpolate", "3", "10000"), "index is 10000; it must be from 0 to 9999"),
        (("encode", "nothing.png"), "there is no file"),
    ):
        assert says in only_line(copied.command(*arguments, fails=True))
    copied.set(latent_dim=5)
    said = copied.command("decode", "1", "1")
    assert said.startswith("note: `dvc repro` would make another model: dvc.lock holds another")
    (copied.folder / MODEL).unlink()
    copied.git("checkout", "params.yaml")
    said = only_line(copied.command("sample", fails=True))
    assert said.endswith(f"{MODEL} does not exist; `dvc repro` makes it")
    gone = forget(copied, MODEL)
    try:
        said = only_line(copied.command("sample", "--of", "HEAD", fails=True))
    finally:
        gone.rename(gone.with_suffix(""))
    assert f"{MODEL} of HEAD is not in the DVC cache; `dvc fetch --all-commits`" in said
