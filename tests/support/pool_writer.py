"""A process that registers people one after the other and acknowledges each on its standard output.

It begins when a line arrives on its standard input, so that several can begin together.
"""

import sys

from facepool.gallery import open_pool
from facepool.types import Sample
from support.pools import space, unit

TEMPLATES = 3


def main(path: str, prefix: str, count: str) -> None:
    with open_pool(path, space(), timeout_s=30) as pool:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        for number in range(int(count)):
            name = f"{prefix}-{number}"
            pool.register(name, [Sample(unit(number * TEMPLATES + row)) for row in range(TEMPLATES)], space())
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
