"""What an experiment came to, as a small file in Git: the tables in README and docs come from them.

A row of a table is a folder of records, one for each seed. A record holds what it takes to repeat
the experiment and to compare what comes out: commit, all parameters, metrics, md5 of the outputs.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_vae import history, params
from mnist_vae.chart import minus
from mnist_vae.errors import PipelineError
from mnist_vae.experiments import origins, outputs
from mnist_vae.experiments import snapshot as snapshots
from mnist_vae.experiments.recipes import Spread
from mnist_vae.experiments.repository import Repository
from mnist_vae.experiments.snapshot import DATA, EVALUATION, HISTORY, MODEL, SEEDS
from mnist_vae.files import write_json, write_text
from mnist_vae.tracking import environment
from mnist_vae.tracking.environment import SECONDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("records")
LABELS = FOLDER / "rows.yaml"  # row -> what stands in its first column
PAGES = (Path("README.md"), Path("docs/results.md"))
# In a page: <!-- records: a row, another -->, the table of them, <!-- records: end -->
BLOCK = re.compile(r"(<!-- records: (?!end)([^>]+?) -->\n)(.*?)(<!-- records: end -->)", re.DOTALL)
# Above a picture: <!-- rate-distortion: a row, another -->
PLANE = re.compile(r"<!-- rate-distortion: ([^>]+?) -->\n!\[[^]]*\]\(([^)]+\.png)\)")
DPI = 100
LOCK = "requirements.lock"


@dataclass(frozen=True)
class Record:
    """One experiment. commit: on which it was run, or that holds it.

    cpu, train_seconds: what trained it and for how long, if the clone that wrote this knew.
    """

    commit: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    last_epoch: dict[str, float]
    outputs: dict[str, str]
    requirements: str
    cpu: str
    train_seconds: int | None

    @property
    def seeds(self) -> tuple[object, ...]:
        return tuple(self.params.get(name) for name in SEEDS)

    @property
    def training(self) -> frozenset[object]:
        return snapshots.training(self.params, self.outputs.get(MODEL))

    def figure(self, name: str) -> float:
        """A metric of the record's protocol."""
        return float(self.metrics[self.params["likelihood"]][name])


def of(repository: Repository, name: str) -> Record:
    """The record of an experiment or a revision; PipelineError if it has no results of its own."""
    commit, snapshot = origins.with_results(repository, name)
    metrics, rows = (
        outputs.in_git(repository, commit, snapshot, path) for path in (EVALUATION, HISTORY)
    )
    lock = repository.read(commit, LOCK) or b""
    based = {exp.commit: exp.baseline for exp in repository.experiments}
    trained = environment.recorded(repository.folder, snapshot.outputs[MODEL], snapshot.params)
    return Record(
        commit=based.get(commit, commit),
        params=snapshot.params,
        metrics=json.loads(metrics),
        last_epoch=history.parse(rows.decode())[-1],
        outputs=snapshot.outputs,
        requirements=hashlib.sha256(lock).hexdigest(),
        cpu=trained.get("env.cpu_model", ""),
        train_seconds=int(trained[SECONDS]) if SECONDS in trained else None,
    )


def write(folder: Path, row: str, record: Record, defaults: Mapping[str, Any]) -> Path:
    """Add a record to a row, or replace the one of its seeds.

    defaults: params.yaml, for parameters that are newer than a record.

    Raises PipelineError if the row holds records of another recipe, or of this training already.
    """
    mine = {**defaults, **_recipe(record)}
    for other in _held(folder / row):
        if other.seeds == record.seeds:
            continue
        if other.training & record.training:
            raise PipelineError(
                f"{folder / row} has a record of this training, of the seeds {other.seeds}; a "
                "repetition takes another seed"
            )
        theirs = {**defaults, **_recipe(other)}
        if changed := snapshots.difference(mine, theirs) | snapshots.difference(theirs, mine):
            raise PipelineError(f"{folder / row} has records with another {', '.join(changed)}")
    seeds = [f"{name}-{value}" for name, value in zip(SEEDS, record.seeds, strict=True) if value]
    path = folder / row / f"{'_'.join(seeds) or 'seed-0'}.json"
    write_json(path, asdict(record))
    return path


def read(folder: Path, row: str) -> list[Record]:
    """A row's records, by their seeds; PipelineError if there is none or it is damaged."""
    found = _held(folder / row)
    if not found:
        raise PipelineError(f"{folder / row} has no record; `vae record {row} EXPERIMENT` adds one")
    return sorted(found, key=lambda record: str(record.seeds))


def _held(folder: Path) -> list[Record]:
    try:
        return [Record(**json.loads(path.read_bytes())) for path in folder.glob("*.json")]
    except (ValueError, TypeError) as error:
        raise PipelineError(f"a record in {folder} is damaged ({error})") from None


def defaults(root: Path) -> Mapping[str, Any]:
    """What params.yaml says."""
    return params.held(params.PARAMS, (root / params.PARAMS).read_bytes())


def render(text: str, folder: Path, defaults: Mapping[str, Any]) -> str:
    """A page with its tables made anew; defaults: params.yaml, from which commands differ."""

    def block(match: "re.Match[str]") -> str:
        rows = [row.strip() for row in match[2].split(",")]
        return f"{match[1]}{_table(folder, rows, defaults)}\n{match[4]}"

    return BLOCK.sub(block, text)


def planes(page: str, folder: Path) -> "Iterator[tuple[str, Figure]]":
    """The pictures of a page that show rows in the rate-distortion plane, by their paths."""
    from mnist_vae import rate_distortion

    names = ("rate", "distortion", "elbo", "elbo_se")
    for match in PLANE.finditer(page):
        firsts = {row.strip(): read(folder, row.strip())[0] for row in match[1].split(",")}
        points = [
            rate_distortion.Point(
                row, one.params["latent_dim"], *(one.figure(f"test_{name}") for name in names)
            )
            for row, one in firsts.items()
        ]
        _check_alike(firsts.values(), firsts)
        protocol = next(iter(firsts.values())).params["likelihood"]
        yield match[2], rate_distortion.draw(points, protocol)


def update(root: Path) -> list[Path]:
    """Render all pages and their pictures, and return what changed."""
    from mnist_vae import figure

    changed = []
    for page in PAGES:
        text = (root / page).read_text(encoding="utf-8")
        made = render(text, root / FOLDER, defaults(root))
        if made != text:
            write_text(root / page, made)
            changed.append(page)
        for name, drawn in planes(made, root / FOLDER):
            path = root / page.parent / name
            before = path.read_bytes() if path.exists() else b""
            figure.save(drawn, path, DPI)
            if path.read_bytes() != before:
                changed.append(page.parent / name)
    return changed


def _table(folder: Path, rows: Sequence[str], defaults: Mapping[str, Any]) -> str:
    """A row for each recipe: its first seed's figures, and all its seeds'.

    Where all rows have an IWAE bound of as many samples, it leads, as papers give it: -log p(x).
    """
    labels = params.held(LABELS, (folder / LABELS.name).read_bytes())
    if unnamed := [row for row in rows if row not in labels]:
        raise PipelineError(f"{LABELS} has no label for {unnamed[0]}")
    held = [read(folder, row) for row in rows]
    _check_alike([found[0] for found in held], rows)
    samples = {found[0].params.get("iwae_samples", 0) for found in held}
    bound = samples.pop() if len(samples) == 1 else 0
    name, sign = (f"test_iwae_{bound}", -1) if bound else ("test_elbo", 1)
    validated = all("validation_elbo" in found[0].last_epoch for found in held)
    lines = []
    for row, found in zip(rows, held, strict=True):
        first = found[0]
        several = Spread.of([sign * record.figure(name) for record in found])
        seeds = "" if several.deviation is None else _number(several.mean, several.deviation)
        leading = [_number(sign * first.figure(name), first.figure(f"{name}_se"))]
        if validated:
            leading.insert(0, minus(f"{first.last_epoch['validation_elbo']:.2f}"))
        if bound:
            leading.append(_number(first.figure("test_elbo"), first.figure("test_elbo_se")))
        parts = [minus(f"{first.figure(f'test_{part}'):.2f}") for part in ("rate", "distortion")]
        command = f"`{_command(first.params, defaults)}`"
        seeds = f"{seeds} ({several.n})" if seeds else ""
        lines.append([str(labels[row]), command, *leading, *parts, seeds])
    likelihood = [f"NLL (IWAE-{bound})"] if bound else []
    elbos = [*(["validation ELBO"] if validated else []), *likelihood, "test ELBO"]
    head = ["model", "command", *elbos, "rate", "distortion", "seeds"]
    if not any(line[-1] for line in lines):
        head, lines = head[:-1], [line[:-1] for line in lines]
    whole = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in whole)


def _check_alike(found: Collection[Record], rows: Iterable[str]) -> None:
    if len({record.params["likelihood"] for record in found}) > 1:
        raise PipelineError(f"{', '.join(rows)}: figures of two protocols cannot be compared")
    if len({record.outputs.get(DATA["test"]) for record in found}) > 1:
        raise PipelineError(f"{', '.join(rows)}: figures of two test sets cannot be compared")


def _command(recorded: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """How to run it; a parameter that is newer than the record has its default."""
    if gone := sorted(recorded.keys() - defaults.keys()):
        raise PipelineError(f"a record has {', '.join(gone)}, which params.yaml has not; run again")
    changes = snapshots.difference(recorded, defaults)
    if not changes:
        return "make repro"
    return " ".join(
        ["dvc exp run", *(f"-S {name}={_plain(value)}" for name, value in changes.items())]
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace(" ", "")


def _number(value: float, error: float) -> str:
    return minus(f"{value:.2f} ± {error:.2f}")


def _recipe(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.params.items() if name not in SEEDS}
