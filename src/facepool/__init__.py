"""Register a face once, from every angle, and recognize it anywhere.

>>> from facepool import Recognizer, load_analyzer, open_pool, read_image, register
>>> analyzer = load_analyzer()                                             # doctest: +SKIP
>>> pool = open_pool("pool.db", analyzer.space)                            # doctest: +SKIP
>>> register("Ada", [read_image("ada.jpg")], analyzer, pool)               # doctest: +SKIP
>>> Recognizer(analyzer, pool).recognize(read_image("group.jpg")).names    # doctest: +SKIP

Images are (H, W, 3) uint8 BGR. Errors derive from ``FacepoolError``; ``facepool.errors`` has the tree.
"""

from facepool.lazy import attach_stub

# What is exported, and from where, stands in __init__.pyi. Each name is imported when it is first used, so that a
# program that only prints its --help does not load codecs and linear algebra.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)

__version__ = "0.2.0"
