"""What every gallery can do, whatever it is kept in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol, Self

from facepool.gallery.address import PoolAddress
from facepool.gallery.batches import Stored, TemplateBatch
from facepool.gallery.checks import check_dimension, check_space
from facepool.gallery.columns import Changes, LookAlikes, PoolMatrix
from facepool.gallery.details import Details
from facepool.gallery.image import ImagedGallery
from facepool.gallery.inbox import Inbox
from facepool.gallery.listing import GallerySize, PeoplePage
from facepool.gallery.notices import Notice, Owed
from facepool.types import Calibration, Consent, EmbeddingSpace, Floats, Person, Sample, Template

Report = Callable[[int, int], None]
"""Is told how much is done, of how much."""


class OpenFiles:
    """Stands for the files that galleries of this process are open on: all that have the same one show the same.

    It lives as long as one of them is open, so the files of one are never taken for later ones in their place.
    """

    __slots__ = ("__weakref__",)


class Gallery(Protocol):
    """People and their templates, in files or a database that several processes may use at once.

    A change is all or nothing, and on the disk when the call returns. Names are compared after `clean_name`.
    Use a gallery from one thread at a time; threads that use one at the same time open one each.

    Any call may raise `PoolLocked` when another process keeps the gallery busy, `PoolCorrupt` when the files turn out
    to be damaged, and, where it writes, `NotWritable` and `DiskFull`.
    """

    @property
    def address(self) -> PoolAddress:
        """Where it is: the file that the user named, or a database. ``str`` shows it, ``name`` is the last part.

        A new gallery has no file until something is stored. Those that are kept in files have a ``path``, too.
        """

    @property
    def space(self) -> EmbeddingSpace | None:
        """What the vectors are comparable with; None where the files do not say."""

    @property
    def dimension(self) -> int | None:
        """Length of a vector; None for a new gallery without a space."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for the user, one line each."""

    @property
    def open_files(self) -> OpenFiles:
        """What it is open on now: at one revision, all galleries that have the same have the same content."""

    @property
    def inbox(self) -> Inbox:
        """What is kept of people who were seen, and of those among them whom nobody has named.

        Raises:
            ConfigError: Files of this kind have no place for it.
        """

    @property
    def imaged(self) -> ImagedGallery | None:
        """The same gallery, where an image of its index may lie on the disk; None: no image may."""

    def revision(self) -> int:
        """A number that differs after any process has changed the gallery. Cheap: ask before each frame."""

    def people(self) -> list[Person]:
        """Everybody, sorted by name; people without templates, too. For large galleries, see `people_page`."""

    def people_page(
        self,
        prefix: str = "",
        *,
        part: str = "",
        tag: str = "",
        external_id: str = "",
        after: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> PeoplePage:
        """Some people, in the order of their names without regard to case, then by code point.

        As fast for a million people as for a hundred, but for ``part`` and a large ``offset``, which look at all names.

        Args:
            prefix: How their names begin, in either case; empty: in any way.
            part: What their names have somewhere, in either case; empty: anything.
            tag: One of their tags, in either case; empty: any, or none.
            external_id: What another system calls them; empty: anything.
            after: The last name of the page before, even if nobody has it any more; empty: from the first one.
            offset: How many to leave out.
            limit: How many to give, at most.
        """

    def count_people(self, prefix: str = "", *, part: str = "", tag: str = "", external_id: str = "") -> int:
        """How many people `people_page` would give in all."""

    def names(self) -> list[str]:
        """Everybody's names, in the order of `people_page`: less than `people` where nothing else is wanted."""

    def names_near(self, name: str) -> list[str]:
        """Some names among which the right one may be for one that nobody has."""

    def size(self) -> GallerySize:
        """How many people and templates there are."""

    def person(self, name: str) -> Person | None:
        """Somebody by name; None: nobody has it."""

    def person_by_id(self, person_id: str) -> Person | None:
        """Somebody by id, whatever they are called now; None: nobody has it."""

    def templates(self, person: str | None = None, *, offset: int = 0, limit: int | None = None) -> list[Template]:
        """The templates of one person, or of everybody, oldest first; none for a person without any.

        Args:
            person: Whose; None: everybody's.
            offset: How many to leave out.
            limit: How many to give, at most.

        Raises:
            UnknownPerson: Nobody has that name.
        """

    def template(self, template_id: int) -> Template:
        """One template.

        Raises:
            UnknownTemplate: There is none of that number.
        """

    def template_number(self, template_uuid: str) -> int | None:
        """The number of the template of a UUID; None: there is none of it."""

    def picture(self, template_id: int) -> bytes | None:
        """The JPEG of the aligned face that was stored with a template; None: none was, or the files have no room.

        Raises:
            UnknownTemplate: There is none of that number.
        """

    def template_ids_with_image(self, person: str | None = None) -> frozenset[int]:
        """The numbers of a person's or everybody's templates that have a picture; none of somebody who is not there."""

    def look_alikes(self, person: str | None = None) -> frozenset[LookAlikes]:
        """Pairs of people who are easily taken for each other: all, or those of one person, who need not be there."""

    def calibration(self) -> Calibration | None:
        """What was measured of the gallery; None: nothing, or in another embedding space."""

    def changes(self, since: int | None = None) -> Changes:
        """What happened since a revision, for those who keep what the gallery has in a form of their own.

        Args:
            since: A revision that the caller has followed the gallery to; None: none yet. Where the gallery cannot
                tell what happened since, and always for None, the answer is all that it has, which ``whole`` says.
        """

    def matrix(self) -> PoolMatrix:
        """All templates as they are now. Deprecated: ``changes`` and ``facepool.search.Search`` take its place."""

    def create(self, person: str) -> None:
        """Make a person known who has no templates yet; nobody is recognized as them before they have one.

        Raises:
            ConfigError: The name cannot be used.
            PersonExists: Somebody has it.
        """

    def register(
        self,
        person: str,
        samples: Sequence[Sample],
        space: EmbeddingSpace,
        *,
        look_alikes: Collection[str] = (),
        expected_revision: int | None = None,
        consent: Consent | None = None,
    ) -> int:
        """Store samples of a new or known person.

        Args:
            person: New or known to the gallery.
            samples: Any number.
            space: Which space they are of: that of the model that made them.
            look_alikes: People of the gallery who are easily taken for this one; ``look_alikes()`` has the pairs.
            expected_revision: The revision that the decision to store them rests on; None: whatever it is now.
            consent: To what the person has agreed, to be kept in the same change; None: nothing is kept of it.

        Returns:
            How many were stored. No samples store nothing, and make nobody known.

        Raises:
            ConfigError: The name or the consent cannot be used, these files have no place for a consent, or the name is
                among its own look-alikes.
            UnknownPerson: A look-alike is not there.
            InvalidEmbedding: An embedding is not (D,) float32 of norm 1.
            PoolChanged: The gallery is of another revision than the expected one.
            SpaceMismatch: The gallery is of another space.
        """

    def add(
        self,
        templates: Sequence[Template],
        space: EmbeddingSpace | None,
        look_alikes: Collection[LookAlikes] = (),
        people: Collection[Person | str] = (),
    ) -> int:
        """Store templates that exist already, with their provenance; the gallery gives them numbers of its own.

        They keep their UUIDs, and people who are new here their ids, where those are not taken.

        Args:
            templates: Of any people, new or known.
            space: Which space they are of; None: not known, they are taken for the gallery's.
            look_alikes: Pairs to flag, of people who are in the gallery or among the templates.
            people: Who is to be known, with templates or without; those that are stay as they are.

        Returns:
            How many were stored.

        Raises:
            ConfigError: A name cannot be used.
            UnknownPerson: A look-alike is not there.
            InvalidEmbedding: An embedding is not (D,) float32 of norm 1.
            SpaceMismatch: The gallery is of another space, or neither side knows its own.
        """

    @property
    def rows_at_once(self) -> int:
        """How many templates are best stored in one change."""

    @property
    def keeps_images(self) -> bool:
        """Whether there is room for pictures."""

    def batch(self, after: int = 0, limit: int | None = None, *, with_images: bool = True) -> TemplateBatch:
        """Templates of everybody as columns, in the order of their numbers.

        Args:
            after: The number of the last one of the batch before; 0: from the first one.
            limit: How many, at most; None: ``rows_at_once``.
            with_images: Whether pictures are wanted, too.
        """

    def load(self, batch: TemplateBatch, space: EmbeddingSpace | None) -> Stored:
        """Store those of many templates that are not there yet, with their provenance and pictures, in one change.

        There is a template if the same person has the same vector, or, of a batch whose UUIDs are derived, if its UUID
        is. So what was stored before an interruption is not stored twice. A template that is there without its picture
        gets it. UUIDs of templates and people are kept where they are not taken.

        Args:
            batch: Any number of any people, new or known.
            space: Which space they are of; None: not known, they are taken for the gallery's.

        Raises:
            ConfigError: A name cannot be used.
            InvalidEmbedding: The vectors are not (N, D) float32 of norm 1.
            SpaceMismatch: The gallery is of another space, or neither side knows its own.
        """

    def count_of(self, uuids: Collection[bytes]) -> int:
        """How many templates there are of some UUIDs, of 16 bytes each."""

    def views(self, people: Collection[str]) -> dict[str, dict[bytes, bytes]]:
        """For each of some people who are there: SHA-256 of their vectors, with that of the picture or nothing."""

    def set_calibration(self, calibration: Calibration | None, *, expected_revision: int | None = None) -> None:
        """Keep what was measured of the gallery in place of what was kept; ``calibration()`` has it.

        Args:
            calibration: None: forget it.
            expected_revision: The revision that it was measured on; None: whatever it is now.

        Raises:
            PoolChanged: The gallery is of another revision than the expected one.
        """

    def replace_vectors(
        self, vectors: Mapping[int, Floats], space: EmbeddingSpace, *, expected_revision: int | None = None
    ) -> None:
        """Give all templates vectors of another space, in one change; all else of them stays as it is.

        Templates without a new vector go, whose people stay. So does what was kept of who was seen, all suggestions and
        what could be undone, and what was measured of the gallery: it was about the old vectors.

        Args:
            vectors: (D,) float32 of norm 1 each, by the template's number.
            space: Which space they are of.
            expected_revision: The revision that they were made from; None: whatever it is now.

        Raises:
            InvalidEmbedding: A vector is not (D,) float32 of norm 1.
            PoolChanged: The gallery is of another revision than the expected one.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a person another name.

        Raises:
            UnknownPerson: Nobody is called `old`.
            PersonExists: Somebody else is called `new`.
            ConfigError: The new name cannot be used.
        """

    def describe(self, person: str, details: Details, *, name: str | None = None) -> Person:
        """Keep what is to be known of somebody beside their faces, all or nothing.

        Args:
            person: Of whom.
            details: What is to be known.
            name: Another name for them; None: the one that they have.

        Returns:
            The person as they are now.

        Raises:
            ConfigError: Something of it cannot be stored, or these files have no place for it.
            PersonExists: Somebody else has the name or the external id.
            UnknownPerson: Nobody has that name.
        """

    def add_details(self, people: Collection[Person]) -> int:
        """Keep what is known of people elsewhere, as far as it is not known here.

        Those who are not here are passed over, and so is an external id that somebody else has.

        Returns:
            Of how many something was stored; 0 where there is no place for it.
        """

    def consents(self, person: str) -> tuple[Consent, ...]:
        """To what somebody has agreed, oldest first; nothing where there is no place for it.

        Raises:
            UnknownPerson: Nobody has that name.
        """

    def consents_of(self, people: Collection[str]) -> dict[str, tuple[Consent, ...]]:
        """The same of some people by name; without those who are not there or have agreed to nothing."""

    def record_consent(self, person: str, consent: Consent) -> Consent:
        """Keep that somebody has agreed to something, beside what they have agreed to before.

        It is erased with the person. Who takes a consent back is to be erased: `remove`.

        Returns:
            What is kept of it, with its id.

        Raises:
            ConfigError: Something of it cannot be stored, or these files have no place for it.
            UnknownPerson: Nobody has that name.
        """

    def add_consents(self, consents: Mapping[str, Collection[Consent]]) -> int:
        """Keep to what people have agreed elsewhere, as far as it is not kept here; who is not here is passed over.

        Returns:
            How many were stored; 0 where there is no place for it.
        """

    def merge(self, source: str, target: str) -> int:
        """Give all templates of one person to another, and what is known of them; the first one is gone.

        Returns:
            How many templates moved.

        Raises:
            UnknownPerson: One of them is not there.
            ConfigError: Both are the same person.
        """

    def remove(self, person: str) -> int:
        """Erase a person and all their templates.

        Returns:
            How many templates were erased.

        Raises:
            UnknownPerson: Nobody has that name.
        """

    def remove_many(self, people: Collection[str]) -> dict[str, int]:
        """Erase several people and all their templates in one change; those who are not there are passed over.

        Returns:
            How many templates were erased of each who was there.
        """

    def remove_template(self, template_id: int, person: str | None = None) -> str:
        """Erase one template and its picture. The person stays, even without any template.

        Args:
            template_id: Its number.
            person: Whose it has to be; None: anybody's.

        Returns:
            Whose it was.

        Raises:
            UnknownTemplate: There is none of that number, or it is another person's.
        """

    @property
    def changes_made(self) -> int:
        """How many changes were stored through this object: also where a call that came after one has failed."""

    def noting(self, caller: str) -> AbstractContextManager[list[Notice]]:
        """Leave a notice of each change inside the block, in its own transaction, for logs that are kept elsewhere.

        Only where somebody settles them: tells the logs, then calls `forget_notices`, then `wipe`, which erasing leaves
        to them here.

        Args:
            caller: Who changes the gallery, for the logs.

        Returns:
            The notices, as they come.
        """

    @property
    def has_logs(self) -> bool:
        """Whether a server has worked on it, so that somebody keeps logs that have to be told."""

    def owed(self) -> Owed:
        """What was promised and is not done yet: logs to be told, bytes to be wiped."""

    def forget_notices(self, uuids: Sequence[str]) -> None:
        """Delete notices that the logs were told; those that are not there are passed over."""

    def wipe(self, patience_s: float = 1.0) -> str:
        """Leave no bytes behind of what was erased, if that is owed.

        Args:
            patience_s: How long to wait for others.

        Returns:
            Why bytes may remain, which stays owed; empty: they do not.
        """

    def close(self) -> None:
        """Let go of the files. A closed pool cannot be used; closing again does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *details: object) -> None: ...


def check_gallery(gallery: Gallery, space: EmbeddingSpace) -> None:
    """Refuse a gallery whose vectors cannot be compared with those of a model, however it was opened.

    Args:
        gallery: One that does not know its space is checked by dimension only; a new one of no space fits.
        space: That of the model.

    Raises:
        SpaceMismatch: They are not of one space.
    """
    pinned = gallery.space
    check_space(gallery.address, pinned, space)
    if pinned is None:
        check_dimension(gallery.address, gallery.dimension, space)


def new_templates(person: str, samples: Sequence[Sample], model: str) -> list[Template]:
    """Stamp samples with the time and the model; the gallery numbers them when it stores them."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [Template(id=0, person=person, sample=sample, created_at=now, model=model) for sample in samples]
