"""What `rebuild` tells, one thing at a time: a line for people, or values for programs."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """What was done or found: of which run, which of its parts, and how many."""

    what: str
    run: str = ""
    parts: tuple[str, ...] = ()
    count: int = 0

    def __str__(self) -> str:
        """In one line, for people."""
        match self.what:
            case "added":
                said = f"added {', '.join(self.parts)}"
            case "gone":
                said = f"{_some(self.parts)} gone from DVC's cache and remotes"
            case "removed":
                said = "removed, since no experiment has it"
            case "killed":
                said = "was left RUNNING, is KILLED"
            case "no run":
                said = f"no run: {self.parts[0]}"
            case "remote":
                return f"DVC's remote: {self.parts[0]}"
            case "older":
                return f"{self.count} older results have no run: `vae rebuild --history` makes them"
            case "unknown":
                return f"{self.count} runs are of no experiment in this clone; --prune removes them"
            case _:
                return f"{self.count} experiments, each with its run"
        return f"{self.run}: {said}"


def _some(paths: Sequence[str], most: int = 2) -> str:
    """The first paths and the number of the others, with the verb."""
    names = [*paths[:most], *([f"{len(paths) - most} more"] if len(paths) > most else [])]
    return f"{', '.join(names[:-1])} and {names[-1]} are" if names[1:] else f"{names[0]} is"
