"""Measured parts of a document: what stands between two marks is written by a script, everything else by people."""

from pathlib import Path


def insert(document: Path, name: str, text: str) -> None:
    """Put a text between the marks of a document that have a name, in place of the one before.

    Args:
        document: With a line ``<!-- begin: NAME -->`` and, further down, ``<!-- end: NAME -->``.
        name: Of the part.
        text: What is to stand there.

    Raises:
        ValueError: The document has no such lines; it stays as it is.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    head, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _old, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document.name} has no lines {begin} and {end}")
    document.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}", encoding="utf-8")
