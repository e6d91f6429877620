"""What the experiment's page says above its runs: what they are, how to compare, what tags mean."""

from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking.store import KIND, Store

TEXT = """\
A variational autoencoder on MNIST. Every run here is one experiment of a DVC pipeline: its
parameters, code and results, once, under however many names it stands in Git. DVC holds the files;
`vae rebuild` makes this page again from them.

**Compare.** Tick runs and press *Compare*: a table of the parameters and metrics that differ. The
chart view (the icon above the list) has the curves; *Add chart → Image grid* puts pictures side by
side. To see recipes over their seeds, group by the tag `dvc.recipe`. In a terminal:
`vae compare A B`.

**Metrics** are nats per image and stand under the protocol that they were measured by, `greyscale`
or `binarized`; figures of two protocols cannot be compared. `test_elbo` is minus the sum of
`test_rate` and `test_distortion`, and higher is better; `..._se` is the standard error over the
test images. `system/...` is the machine's load while it trained.

| tag | what it says |
|---|---|
| `dvc.exp.name`, `dvc.exp.ref` | the DVC experiments of this content |
| `dvc.exp.baseline` | the commit that they were started from |
| `dvc.sweep` | the parameters in which the run differs from it |
| `dvc.recipe` | the same for runs that differ only in their seeds |
| `dvc.key`, `dvc.results` | hashes of parameters and code, and of all results |
| `dvc.md5.*` | DVC's hashes of data and model |
| `dvc.gone` | files that neither DVC's cache nor its remotes had |
| `env.*` | where the weights were trained |
| `reproduced`, `reproduced.*` | the verdict of `vae reproduce RUN --record` |

A name, description or tag that a person writes stays, this text too.
"""


def describe(store: Store) -> None:
    """Give the experiment this text and its kind; a text that a person wrote in its place stays."""
    there = store.client.get_experiment(store.experiment_id).tags
    wanted = KIND | {run_tags.NOTE: TEXT}
    if there.get(run_tags.NOTE) and not run_tags.marks(there).keys() & there.keys():
        wanted.pop(run_tags.NOTE)  # it was there before anything of ours
    for name, value in run_tags.changes(there, wanted, shared=True)[0].items():
        store.client.set_experiment_tag(store.experiment_id, name, value)
