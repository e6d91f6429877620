"""One picture as the model sees it: grey with 8 bits, square, in whole numbers only.

Pillow does it: the same bytes on every machine. torchvision's transforms hand a picture to the same
functions (tests/unit/test_own_images.py).
"""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_vae.errors import PipelineError


def read(file: Path, side: int, converted: Counter[str], ground: str = "white") -> np.ndarray:
    """The pixels (side^2,), uint8, of a PNG or JPEG file, whatever its size and colours.

    converted: counts each way in which it was changed, in words. ground: the colour behind what is
    transparent. Raises PipelineError, one line, for what cannot be read.
    """
    try:
        if not file.stat().st_size:
            raise PipelineError(f"{file} is empty")
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(file, formats=("PNG", "JPEG")) as opened,
        ):
            # A JPEG's further pictures are previews and the like.
            if opened.format == "PNG" and getattr(opened, "is_animated", False):
                raise PipelineError(f"{file} is animated; make one picture of it")
            opened.load()
            grey = _grey(ImageOps.exif_transpose(opened), converted, ground)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        most = Image.MAX_IMAGE_PIXELS or 0
        raise PipelineError(
            f"{file} is too large; a picture may have {most / 1e6:.0f} million pixels"
        ) from None
    except PipelineError:
        raise
    except UnidentifiedImageError:
        raise PipelineError(f"{file} is damaged, or neither PNG nor JPEG") from None
    except Exception as error:  # Pillow's decoders raise of every kind on damaged files
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PipelineError(f"{file} cannot be read: {detail}") from None
    return resized(grey, side, converted)


def resized(picture: Image.Image, side: int, converted: Counter[str]) -> np.ndarray:
    """The pixels (side^2,), uint8, of a grey picture."""
    if picture.size != (side, side):
        also = "" if picture.width == picture.height else ", stretched to a square"
        converted[f"of another size, resized to {side} x {side}{also}"] += 1
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8).reshape(-1)


def _grey(picture: Image.Image, converted: Counter[str], ground: str) -> Image.Image:
    """8 bits of grey (ITU-R 601-2 luma)."""
    if picture.mode.startswith("I"):
        converted["with 16 bits of grey, rounded to 8"] += 1
        wide = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        converted[f"with transparent parts, put on {ground} and made grey"] += 1
        above = picture.convert("RGBA")
        picture = Image.new("RGBA", picture.size, ground)
        picture.alpha_composite(above)
    elif picture.mode == "P":
        converted["with a palette, its colours made grey"] += 1
    elif picture.mode not in ("L", "1"):
        converted["in colour, made grey"] += 1
    return picture.convert("L")
