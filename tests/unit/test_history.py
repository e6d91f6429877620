"""history.csv is written with nine digits, read back, and refused in one line if it is damaged."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_vae import history
from mnist_vae.errors import PipelineError

HEADER = ",".join(history.COLUMNS) + "\n"
NUMBERS = st.floats(-1e9, 1e9)


@given(st.lists(st.lists(NUMBERS, min_size=10, max_size=10), min_size=1, max_size=3), st.booleans())
def test_what_is_written_is_read_with_nine_digits(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[list[float]], validation: bool
) -> None:
    columns = history.COLUMNS if validation else history.REQUIRED
    rows = [dict(zip(columns, row, strict=False)) for row in numbers]
    path = tmp_path_factory.mktemp("h") / "history.csv"
    history.write(path, rows)
    read = history.read(path)
    assert read == [history.rounded(row) for row in rows]
    assert all(row == pytest.approx(whole, rel=1e-8) for row, whole in zip(read, rows, strict=True))


def test_epochs_are_whole_numbers_and_the_cells_of_no_validation_are_empty(tmp_path: Path) -> None:
    row = dict.fromkeys(history.REQUIRED, 1 / 3) | {"epoch": 1}
    history.write(tmp_path / "h", [row])
    assert (tmp_path / "h").read_text() == HEADER + "1" + 6 * ",0.333333333" + ",,,\n"


def test_the_columns_of_another_version_are_parsed() -> None:
    assert history.parse("epoch,loss,more\n1,2.5,\n") == [{"epoch": 1, "loss": 2.5}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no epochs"),
        (b"\xff\xfe\x00", "is damaged"),
        (HEADER.encode(), "no epochs"),
        (HEADER.encode() + b"1,1,x,1,1,1,1,1,1,1\n", "is damaged"),
        (HEADER.encode() + b"1,1,1,1,1,1,1,1,1,1,1\n", "is damaged"),
        (HEADER.encode() + b"1,1,0.1,1,nan,1,1,1,1,1\n", "train_elbo not finite"),
        (HEADER.encode() + b"1,1,0.1,1\n", "has no train_elbo, train_rate"),
        (b"epoch,beta\n1,1\n", "has no learning_rate, train_objective"),
    ],
)
def test_a_damaged_history_is_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(PipelineError, match=message) as caught:
        history.read(tmp_path / "history.csv")
    assert "\n" not in str(caught.value)


def test_a_history_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        history.read(tmp_path / "history.csv")
