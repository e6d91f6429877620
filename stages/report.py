"""Write the report: metrics/, plots/ and what they were made from -> report/report.html."""

import json
from pathlib import Path

from mnist_vae import history, params, report
from mnist_vae.files import write_text
from mnist_vae.inputs import Inputs

METRICS = Path("metrics/evaluation.json")
HISTORY = Path("metrics/history.csv")
REPORT = Path("report/report.html")


def main(inputs: Inputs) -> None:
    files = list(inputs.digests)
    page = report.page(
        params.check(),
        json.loads(params.SCHEMA.read_text(encoding="utf-8")),
        report.read_metrics(METRICS),
        history.read(HISTORY),
        [path for path in files if path.suffix == ".png"],
        report.made(files),
    )
    inputs.check()
    write_text(REPORT, page)
