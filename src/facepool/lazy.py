"""Names of a package that are imported when they are first used."""

import ast
import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage inside the block: an import makes many objects that stay, and looking takes a tenth of it."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def attach_stub(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Export what the stub beside a package's ``__init__`` imports, which type checkers read, too.

    Args:
        package: Its ``__name__``.
        file: Its ``__file__``; the stub has the ending ``.pyi``.

    Returns:
        What to assign to ``__getattr__``, ``__dir__`` and ``__all__``.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: f"{package}.{node.module}" for node in imports for alias in node.names}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with importing():
            return getattr(importlib.import_module(homes[name]), name)

    names = sorted(homes)
    return get, lambda: names, names
