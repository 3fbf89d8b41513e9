"""The newest index of a gallery, for all threads of the process: how it is replaced while they search.

Whoever searches takes the index that is there, and looks afterwards whether it was spoiled meanwhile; nobody waits.
A new index takes the place of the old one first, then people who are to be erased are overwritten. Segments are
rewritten by a thread of its own, whose copies erasing reaches as well.
"""

import threading

from facepool.gallery.columns import Changes, Numbers
from facepool.search.index import Index, Layer, buildings
from facepool.search.segment import Building, Segment


class SharedIndex:
    """An index that follows a gallery.

    Attributes:
        index: The newest; None: there is none yet. Read it once, and work with what was read.
    """

    def __init__(self, index: Index | None = None) -> None:
        self.index = index
        self._following = threading.Lock()
        self._compaction: _Compaction | None = None

    def follow(self, changes: Changes) -> Index:
        """Bring the index up to date: by all that a gallery has, or by what has happened since its revision.

        What is erased has left the memory when this returns, but for what others compute with older indices.
        """
        with self._following:
            return self._follow(changes)

    def use(self, index: Index, changes: Changes | None = None) -> None:
        """Take another index, from somewhere else.

        Args:
            index: Of the same gallery.
            changes: What has happened since its revision; None: nothing is known.
        """
        with self._following:
            self.index = index
            if changes is not None:
                self._follow(changes)

    def cleaned(self, changes: Changes) -> Index:
        """The index after some changes, without anything in its arrays that the gallery has no more."""
        with self._following:
            index = (
                self._follow(changes) if self.index is None or self.index.revision != changes.revision else self.index
            )
            index.clean()
            return index

    def _follow(self, changes: Changes) -> Index:
        known = self.index
        self.index = newer = Index.of(changes) if known is None else known.following(changes)
        if known is not None and not changes.whole and len(changes.removed):
            known.erase(changes.removed)
            if self._compaction is not None:
                self._compaction.erase(changes.removed)
        self._compact()
        return newer

    def _compact(self) -> None:
        worn = self.index.worn() if self.index is not None else ()
        if not worn or self._compaction is not None:
            return
        self._compaction = _Compaction(worn)
        # It ends with the process, which loses nothing by it.
        threading.Thread(target=self._run, args=(self._compaction,), name="facepool-compact", daemon=True).start()

    def _run(self, compaction: "_Compaction") -> None:
        segments: list[Segment] = []
        try:
            segments = compaction.rewritten()
        finally:
            with self._following:
                self._compaction = None
                if segments and self.index is not None:
                    self.index = self.index.rewritten(compaction.layers, segments) or self.index
        with self._following:
            self._compact()


class _Compaction:
    """Rewrites some layers as fewer segments without dead people.

    Args:
        layers: Those layers.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        self._copying = threading.Lock()
        self._made: list[Building] = []

    def rewritten(self) -> list[Segment]:
        """Everybody who was alive in the layers."""
        with self._copying:
            self._made = buildings(self.layers)
        for building in self._made:
            building.fill(self._copying)
        return [building.segment for building in self._made]

    def erase(self, template_ids: Numbers) -> None:
        """Overwrite in the copies what `Index.erase` overwrote in the layers; it waits for one small step at most."""
        with self._copying:
            for building in self._made:
                building.segment.wipe(template_ids)
