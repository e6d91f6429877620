"""Which tags of a run are written, and which are left to those who wrote them."""

import pytest

from mnist_vae.experiments.origins import Origin
from mnist_vae.tracking import tags

NAMED = {tags.RUN_NAME: "main 1234567", tags.NOTE: "-137 nats"}
ADAS = {**NAMED, "dvc.exp.name": "ada-s", "dvc.exp.ref": "refs/ada-s", "dvc.sweep": "epochs"}
BOBS = {tags.RUN_NAME: "epochs=3 · bob-s", tags.NOTE: "-137 nats", "dvc.exp.name": "bob-s"}


def written(*wanted: dict[str, str], shared: bool = False) -> dict[str, str]:
    """A run's tags after each of the wanted ones in turn."""
    there: dict[str, str] = {}
    for one in wanted:
        new, gone = tags.changes(there, one, shared)
        there = {name: value for name, value in (there | new).items() if name not in gone}
    return there


@pytest.mark.parametrize("shared", [False, True])
def test_a_second_time_nothing_changes(shared: bool) -> None:
    assert tags.changes(written(ADAS, shared=shared), ADAS, shared) == ({}, [])


def test_our_own_tags_follow_what_is_wanted_and_others_stay() -> None:
    there = written(ADAS | {"team": "vision"})
    new, gone = tags.changes(there, NAMED | {tags.RUN_NAME: "main 7654321"}, shared=False)
    assert new.pop(tags.RUN_NAME) == "main 7654321"
    assert list(new) == ["dvc.wrote.name"]
    assert gone == ["dvc.exp.name", "dvc.exp.ref", "dvc.sweep"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("text", [tags.RUN_NAME, tags.NOTE])
def test_what_a_person_wrote_stays(text: str, shared: bool) -> None:
    there = written(NAMED, shared=shared) | {text: "the one for the paper"}
    new, gone = tags.changes(there, {name: "new" for name in NAMED}, shared)
    assert text not in new
    assert len(new) == 2  # the other text and its mark
    assert not gone
    del there[text]  # emptied by hand
    assert text not in tags.changes(there, NAMED, shared)[0]


def test_a_name_has_room_in_a_servers_database() -> None:
    long = Origin("experiment", 200 * "ä", "", "1234567", "7654321", {"folder": 100 * "/a"}, "")
    name = tags.run_name([long])
    assert len(name) == tags.LONGEST
    assert name.startswith("folder=/a/a")
    assert name.endswith("ä…")


def test_a_new_run_is_marked_as_ours() -> None:
    there = NAMED | tags.marks(NAMED)
    assert tags.changes(there, BOBS, shared=False)[0][tags.RUN_NAME] == "epochs=3 · bob-s"


def test_two_clones_with_one_content_both_have_their_experiment_on_the_run() -> None:
    both = written(ADAS, BOBS, shared=True)
    assert both["dvc.exp.name"] == "ada-s, bob-s"
    assert both["dvc.exp.ref"] == "refs/ada-s"
    assert both[tags.RUN_NAME] == "main 1234567"
    assert both["dvc.sweep"] == "epochs"
    assert tags.changes(both, ADAS, shared=True) == ({}, [])
    assert tags.changes(both, BOBS, shared=True) == ({}, [])
    assert written(ADAS, BOBS)["dvc.exp.name"] == "bob-s"  # in the project's own store
