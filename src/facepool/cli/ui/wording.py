"""Counts as people say them."""


def people_count(number: int) -> str:
    """``1 person``, ``2 people``."""
    return "1 person" if number == 1 else f"{number:,} people"


def counted(number: int, noun: str) -> str:
    """``1 view``, ``2 views``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
