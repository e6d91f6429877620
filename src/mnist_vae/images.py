"""The size of MNIST's images, and what pictures show of a set beside its pixels.

Other sets may have another size; then the 784 of docstrings is theirs.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

SIDE = 28  # pixels
PIXELS = SIDE * SIDE
_KEY = "look"  # in the metadata of files of arrays


@dataclass(frozen=True)
class Look:
    """The classes' names in the order of their labels, none without labels; is 255 ink or light?"""

    classes: tuple[str, ...]
    ink: bool


DIGITS = Look(tuple("0123456789"), ink=True)  # MNIST's, and of files that say nothing


def metadata(look: Look) -> dict[str, str]:
    """For a file of arrays; empty for MNIST's look."""
    return {} if look == DIGITS else {_KEY: json.dumps(asdict(look))}


def look(metadata: Mapping[str, str]) -> Look:
    """What `metadata` said."""
    if _KEY not in metadata:
        return DIGITS
    stored = json.loads(metadata[_KEY])
    return Look(tuple(stored["classes"]), stored["ink"])
