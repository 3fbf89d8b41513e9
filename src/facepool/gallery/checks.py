"""What a pool refuses to store: names that nobody can read, vectors that are no embeddings, spaces that differ."""

import difflib
import unicodedata
from collections.abc import Collection, Sequence

import numpy as np

from facepool.errors import (
    ConfigError,
    InvalidEmbedding,
    PersonExists,
    PoolChanged,
    PoolCorrupt,
    PoolLocked,
    SpaceMismatch,
    UnknownPerson,
    UnknownTemplate,
)
from facepool.gallery.address import PoolAddress
from facepool.gallery.columns import LookAlikes
from facepool.types import EmbeddingSpace, Floats, Sample

NAME_LIMIT = 200
NORM_TOLERANCE = 1e-3
_LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_PARTS_OF_PATHS = frozenset({".", ".."})
PSEUDONYM_PREFIX = "erased-"
"""How the names begin that a server's audit log gives to those who were erased."""
_INVISIBLE = frozenset({"Cf", "Mn", "Mc", "Me", "Zs"})  # what forms others, or is nothing but room
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers of Hangul and the empty pattern of Braille count as letters and symbols, and show nothing."""
_FORMATS = (0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF)
_AROUND = "".join(map(chr, _FORMATS)) + "".join(filter(str.isspace, map(chr, range(0x3001))))
"""Blanks, and format characters that mean nothing at the edge of a name, where they come from copying and from files'
beginnings; joiners, which some scripts end words with, are not among them."""


def clean_name(name: str) -> str:
    """The one spelling of a new person's name: NFC, without blanks and marks of direction around it.

    Any script is welcome.

    Raises:
        ConfigError: The name is empty or shows nothing, is longer than 200 characters, has line breaks, control
            characters or bytes that are no text, or has a meaning of its own elsewhere: in addresses, or in audit logs.
    """
    given = find_name(name)
    cleaned = given.strip(_AROUND)
    if (why := _meaning_elsewhere(cleaned)) is not None:
        raise ConfigError(f"The name {cleaned!r} cannot be used", why=why, fix="Give another name")
    if any(_is_visible(character) for character in cleaned):
        return cleaned
    shown = ", ".join(f"U+{ord(character):04X}" for character in dict.fromkeys(given[:4]))
    raise ConfigError(
        f"The name {given[:20]!a} cannot be used",
        why=f"it has nothing but invisible or combining characters ({shown}), which nobody can read",
        fix="Give a name with letters, in any script",
    )


def known_name(name: str) -> str:
    """The spelling under which other programs mean somebody who may be there: as `clean_name` spells it.

    Raises:
        ConfigError: As `find_name`.
    """
    given = find_name(name)
    return given.strip(_AROUND) or given


def find_name(name: str) -> str:
    """The spelling under which somebody is looked for who may be there, by a name that `clean_name` may refuse now.

    Raises:
        ConfigError: Nobody can have the name: it is empty, too long, or has line breaks, control characters or bytes
            that are no text.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not cleaned:
        why = "the one given has only blanks" if name else "the one given is empty"
        raise ConfigError("A person needs a name", why=why, fix="Give a name, in any script")
    if len(cleaned) > NAME_LIMIT:
        raise ConfigError(
            f"The name {cleaned[:20]!r}... is too long",
            why=f"it has {len(cleaned)} characters, the limit is {NAME_LIMIT}",
            fix="Give a shorter one",
        )
    # What Python calls printable has none of the flaws; it is a hundred times as fast to ask.
    flaw = None if cleaned.isprintable() else next(filter(None, map(_flaw, cleaned)), None)
    if flaw is not None:
        why, fix = flaw
        raise ConfigError(f"The name {cleaned!r} cannot be used", why=why, fix=fix)
    return cleaned


def folded(name: str) -> str:
    """A name as it is compared where upper and lower case are the same: pages of people are in the order of it."""
    return unicodedata.normalize("NFC", name).casefold()


def _flaw(character: str) -> tuple[str, str] | None:
    """What is wrong with a character of a name, and what to do; None for one that may be there."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python hands on bytes that it cannot decode
        why = f"it has the byte 0x{code - 0xDC00:02X}, which is no text in UTF-8"
        return why, "Give the name in UTF-8; if a file or folder is called so, rename it"
    category = unicodedata.category(character)
    if category == "Cs":
        return f"it has half of a character (U+{code:04X})", "Give the name in valid Unicode"
    if character in _LINE_BREAKS:
        return f"it has a line break (U+{code:04X})", "Give a name that can be printed on one line"
    if category == "Cc":
        return f"it has a control character (U+{code:04X})", "Give a name that can be printed"
    return None


def _meaning_elsewhere(name: str) -> str | None:
    """What a name means where it could not be told from a person's; None for nearly every name."""
    if name in _PARTS_OF_PATHS:
        return "in the address of a page it means a folder, so nobody could be reached by it"
    if name.casefold().startswith(PSEUDONYM_PREFIX):
        return f"audit logs name those who were erased {PSEUDONYM_PREFIX}..."
    return None


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE and character not in _BLANK_LETTERS


def pairs_of(person: str, look_alikes: Collection[str]) -> list[LookAlikes]:
    """A person with each of their look-alikes.

    Raises:
        ConfigError: A name cannot be used, or a person is to be their own look-alike.
    """
    person = clean_name(person)
    others = [clean_name(other) for other in look_alikes]
    if person in others:
        raise ConfigError(f"{person!r} cannot be their own look-alike", fix="Name somebody else")
    return [frozenset((person, other)) for other in others]


def clean_pair(source: str, target: str) -> tuple[str, str]:
    """The names of two people who are to become one.

    Raises:
        ConfigError: They are the same, or one cannot be used.
    """
    source, target = find_name(source), find_name(target)
    if source == target:
        raise ConfigError(f"{source!r} cannot be merged with itself", fix="Name two people")
    return source, target


def person_exists(old: str, new: str) -> PersonExists:
    """The error for a new name that is taken."""
    return PersonExists(
        f"{old!r} cannot be renamed to {new!r}",
        why="somebody else has that name",
        fix="Take another name, or make the two one: facepool people merge",
    )


def unknown_person(name: str, known: Collection[str]) -> UnknownPerson:
    """The error for a name that the pool does not have, with the closest ones that it has."""
    close = difflib.get_close_matches(name, known, n=3)
    fix = f"Perhaps {' or '.join(map(repr, close))} is meant" if close else "`facepool people list` shows who is there"
    return UnknownPerson(f"The pool has nobody called {name!r}", fix=fix)


def unknown_template(number: int, person: str | None = None) -> UnknownTemplate:
    """The error for a template that is not there, or not that person's."""
    whose = "The pool has" if person is None else f"{person} has"
    return UnknownTemplate(
        f"{whose} no view of the number {number}", fix="`facepool people show` lists a person's views"
    )


def name_taken(name: str, fix: str = "Take another name, or add views to theirs") -> PersonExists:
    """The error for a person who is to be made and is there already."""
    return PersonExists(f"There is a person called {name!r} already", fix=fix)


def check_vectors(vectors: Floats, *, what: str) -> None:
    """Refuse rows that are no unit vectors.

    Args:
        vectors: (N, D) float32; N may be 0.
        what: Names a row in the message, for example ``"Row"`` gives ``Row 7 of ...``.

    Raises:
        InvalidEmbedding: A row has NaN or infinity, or its L2 norm differs from 1 by more than 1e-3.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    wrong = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))  # negated: NaN compares false
    if not len(wrong):
        return
    row = int(wrong[0])
    why = f"its L2 norm is {norms[row]:.4g}, not 1" if np.isfinite(norms[row]) else "it has NaN or infinite values"
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    raise InvalidEmbedding(f"{what} {row}{more} is not an embedding", why=why, fix="Compute it anew from the picture")


def check_batch(vectors: Floats, dimension: int) -> None:
    """Refuse vectors that cannot be compared with those of a pool.

    Args:
        vectors: (N, D) float32.
        dimension: What the pool holds.

    Raises:
        InvalidEmbedding: They are not (N, D) float32 of norm 1.
    """
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise InvalidEmbedding(
            "The embeddings do not fit the pool",
            why=f"they are {vectors.dtype} of shape {vectors.shape}, not float32 of shape (N, {dimension})",
            fix="Use the model that made the pool",
        )
    check_vectors(vectors, what="The embedding of row")


def check_samples(samples: Sequence[Sample], dimension: int | None) -> None:
    """Refuse samples whose embeddings cannot be compared with those of a pool.

    Args:
        samples: Any number.
        dimension: What the pool holds; None: that of the first sample.

    Raises:
        InvalidEmbedding: An embedding is not (D,) float32 of norm 1.
    """
    for row, sample in enumerate(samples):
        embedding = sample.embedding
        dimension = embedding.size if dimension is None else dimension
        if embedding.dtype != np.float32 or embedding.shape != (dimension,):
            raise InvalidEmbedding(
                f"The embedding of sample {row} does not fit the pool",
                why=f"it is {embedding.dtype} of shape {embedding.shape}, not float32 of shape ({dimension},)",
                fix="Use the model that made the pool",
            )
    if samples:
        check_vectors(np.stack([sample.embedding for sample in samples]), what="The embedding of sample")


def check_space(pool: PoolAddress, pinned: EmbeddingSpace | None, offered: EmbeddingSpace | None) -> None:
    """Refuse to mix embedding spaces. Nothing is refused where one of the two is unknown.

    Raises:
        SpaceMismatch: Both are known and differ.
    """
    if pinned is None or offered is None or pinned.id == offered.id:
        return
    raise SpaceMismatch(
        f"The pool {pool.name} holds embeddings of {pinned}, not of {offered}",
        why="vectors of different embedding spaces cannot be compared",
        fix=f"Recognize with the model {pinned.model}, or take the pool to {offered.model} by its stored pictures: "
        f"facepool people reembed --embedder {offered.model}",
    )


def check_dimension(pool: PoolAddress, held: int | None, offered: EmbeddingSpace | None) -> None:
    """Refuse by length alone where a pool does not say which embedding space its vectors have.

    Raises:
        SpaceMismatch: Both are known and differ.
    """
    if held is None or offered is None or held == offered.dimension:
        return
    raise SpaceMismatch(
        f"The pool {pool.name} holds {held}-d vectors of an unknown embedding space, not of {offered}",
        why=f"{held} and {offered.dimension} numbers cannot be compared",
        fix=f"Recognize with the model that made the pool, or register the people again into a new pool with "
        f"{offered.model}: facepool register --source FOLDER --pool NEW.db",
    )


def damaged(pool: PoolAddress, why: str) -> PoolCorrupt:
    """The error for a file that is a pool, and not a whole one."""
    return PoolCorrupt(f"The pool {pool} is damaged", why=why, fix="Restore it from a backup")


def gallery_changed(pool: PoolAddress) -> PoolChanged:
    """The error for a decision that rests on an older revision."""
    return PoolChanged(
        f"Nothing was stored in {pool.name}", why="another process has changed it meanwhile", fix="Try again"
    )


def space_needed(pool: PoolAddress) -> SpaceMismatch:
    """The error for templates that are to be stored although nobody says which model made them."""
    return SpaceMismatch(
        f"Nothing can be stored in {pool.name}",
        why="the embedding space of the new templates is not known",
        fix="Open the pool with the embedding space of the model that made them",
    )


def index_busy(address: PoolAddress) -> PoolLocked:
    """The error for those who would bring an index up to date while another process does."""
    return PoolLocked(
        f"The index of {address} is not brought up to date here",
        why="another process does so just now",
        fix="Wait for it, and look: facepool index status",
    )
