"""Many experiments at once, without running any."""

import re

from tests.support.sandbox import Project


def plant(sandbox: Project, first: int, last: int) -> None:
    """Write experiments `first` to `last` - 1: HEAD's results under another seed, as refs.

    Each is a commit on HEAD as `dvc exp run` makes it, with params.yaml and dvc.lock of its seed.
    """
    head = sandbox.git("rev-parse", "HEAD")
    stream = []
    for number in range(first, last):
        stream.append(f"commit refs/exps/{head[:2]}/{head[2:]}/planted-{number}\n")
        stream.append(f"committer Ada <ada@example.org> {1_700_000_000 + number} +0000\n")
        message = f"dvc: commit experiment {number:064x}"
        stream.append(f"data {len(message)}\n{message}\nfrom {head}\n")
        for name in ("params.yaml", "dvc.lock"):
            text = (sandbox.folder / name).read_text(encoding="utf-8")
            text = re.sub(r"(?m)^(\s*)seed: \d+", rf"\g<1>seed: {1000 + number}", text)
            size = len(text.encode())
            stream.append(f"M 100644 inline {name}\ndata {size}\n{text}\n")
    if stream:
        file = sandbox.folder / ".git/planted"
        file.write_text("".join(stream), encoding="utf-8")
        sandbox.run("sh", "-c", "git fast-import --quiet < .git/planted")
