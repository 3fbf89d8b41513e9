"""A process that writes images of a pool, to be killed.

python image_writer.py hold|rewrite|erase POOL
"""

import itertools
import sys
import threading
from pathlib import Path

import facepool.search.image
from facepool.errors import PoolLocked
from facepool.files import only_writer
from facepool.gallery import Pool, open_pool
from facepool.gallery.image import lock_of_image
from facepool.search import Index, Search
from facepool.search.image import write_image
from support.pools import samples, space


def write(pool: Pool, path: Path) -> None:
    imaged = pool.imaged
    assert imaged is not None
    changes, mark = imaged.marked_changes()
    write_image(path, lambda: (mark, Index.of(changes).parts()))


def hold(path: Path) -> None:
    with open_pool(path) as pool, only_writer(lock_of_image(path), 0, PoolLocked("busy")):
        print("writing", flush=True)
        sys.stdin.readline()
        write(pool, path)


def rewrite(path: Path) -> None:
    with open_pool(path) as pool, only_writer(lock_of_image(path), 0, PoolLocked("busy")):
        print("writing", flush=True)
        while True:
            write(pool, path)


def erase(path: Path) -> None:
    facepool.search.image.LEAST_TEMPLATES = 1
    facepool.search.image._REST = 0
    with open_pool(path, space()) as pool:
        for number in itertools.count():
            pool.register(f"<{number}>", samples(number), space())
            pool.register(f"<other {number % 7}>", samples(number), space())
            Search(pool).index()
            for thread in threading.enumerate():
                if thread.name == "facepool-image" and number % 2:
                    thread.join(0.3)
            print(f"erasing {number}", flush=True)
            pool.remove(f"<{number}>")
            print(f"erased {number}", flush=True)


{"hold": hold, "rewrite": rewrite, "erase": erase}[sys.argv[1]](Path(sys.argv[2]))
