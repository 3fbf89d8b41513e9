"""Make the font of Latin, Greek and Cyrillic that is part of facepool: Noto Sans at one weight, without hints.

The variable font is the one of the package manimgx-fonts, which is the upstream project's file.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import uharfbuzz as hb

FONT = Path(__file__).parents[1] / "src/facepool/overlay/fonts/NotoSans-SemiBold.ttf"
WEIGHT = 600


def main() -> int:
    """Write the font."""
    spec = find_spec("manimgx_fonts")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Run: pip install 'facepool[fonts]'")
    face = hb.Face(hb.Blob.from_file_path(Path(spec.submodule_search_locations[0]) / "NotoSans[wght].ttf"))
    kept = hb.SubsetInput()
    kept.keep_everything()
    kept.pin_axis_location(face, "wght", WEIGHT)
    kept.flags = hb.SubsetFlags.NO_HINTING
    FONT.write_bytes(hb.subset(face, kept).blob.data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
