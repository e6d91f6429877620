"""What the experiment's page says above its runs: what they are, how to compare, what tags mean."""

from mnist_vae.experiments.outputs import md5
from mnist_vae.tracking import tags as run_tags
from mnist_vae.tracking import view
from mnist_vae.tracking.store import KIND, Store

TEXT = """\
A variational autoencoder on MNIST. Every run here is one experiment of a DVC pipeline: its
parameters, code and results, once, under however many names it stands in Git. DVC holds the files;
`vae rebuild` makes this page again from them.

**Compare.** Tick runs and press *Compare*: a table of the parameters and metrics that differ. The
saved view *Curves and pictures*, whose address `vae ui` prints, has both side by side. To see
recipes over their seeds, group by the tag `dvc.recipe`. In a terminal: `vae compare A B`.

**Metrics** are nats per image and stand under the protocol that they were measured by: `greyscale`,
`binarized` or `continuous_bernoulli`; figures of two protocols cannot be compared. `test_elbo` is
minus the sum of `test_rate` and `test_distortion`, and higher is better; `..._se` is the standard
error over the test images. `system/...` is the machine's load while it trained.

| tag | what it says |
|---|---|
| `dvc.exp.name`, `dvc.exp.ref` | the DVC experiments of this content |
| `dvc.exp.baseline` | the commit that they were started from |
| `dvc.sweep` | the parameters in which the run differs from it |
| `dvc.recipe` | the same for runs that differ only in their seeds |
| `dvc.key`, `dvc.results` | hashes of parameters and code, and of all results |
| `dvc.md5.*` | DVC's hashes of data and model |
| `dvc.gone` | files that neither DVC's cache nor its remotes had |
| `env.*` | where the weights were trained, and how long that process took (`env.train_seconds`) |
| `reproduced`, `reproduced.*` | the verdict of `vae reproduce RUN --record` |

A name, description or tag that a person writes stays, this text too.
"""


def describe(store: Store) -> None:
    """Give the experiment this text, the saved view, and its kind.

    A text or a view that a person wrote in its place stays, and one that was removed stays away.
    """
    there = store.client.get_experiment(store.experiment_id).tags
    wanted = dict(KIND)
    for name, mark, text in (
        (run_tags.NOTE, "dvc.wrote.note", TEXT),
        (view.TAG, view.MARK, view.text()),
    ):
        written = there.get(name, "")
        if there.get(mark) == md5(written.encode()) or (mark not in there and not written):
            wanted |= {name: text, mark: md5(text.encode())}
    for name, value in wanted.items():
        if there.get(name) != value:
            store.client.set_experiment_tag(store.experiment_id, name, value)
