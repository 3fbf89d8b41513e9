"""Face regions in XMP sidecars, as photo managers read them: who is where in a photo, in a file beside it.

Regions are those of the Metadata Working Group (Guidelines for Handling Image Metadata 2.0, section 5.9): centre and
size as shares of the picture *as it lies in the file*, before EXIF's orientation turns it, and the size in pixels that
they were applied to. digiKam, Immich and Lightroom read them so.

A sidecar that is there is merged into: everything else in it stays, and so do regions that others wrote. What we wrote
is marked, and is replaced by the next run. The photo itself is only read.
"""

import xml.dom.minidom
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.dom.minidom import Document, Element, Node
from xml.parsers.expat import ExpatError

import numpy as np
import PIL.Image
from PIL.ExifTags import Base

from facepool.capture.reading import DECODE_ERRORS, open_picture, quiet_pillow
from facepool.errors import SidecarUnreadable
from facepool.files import storage_errors, write_whole
from facepool.geometry import iou
from facepool.types import Floats

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_X = "adobe:ns:meta/"
_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
_OURS = "urn:facepool:xmp:1.0/"
_PREFIXES = {_RDF: "rdf", _X: "x", _REGIONS: "mwg-rs", _AREA: "stArea", _DIMENSIONS: "stDim", _OURS: "facepool"}
_XMLNS = "http://www.w3.org/2000/xmlns/"
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="{_X}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
    '<?xpacket end="w"?>'
)
_MOST_BYTES = 16 << 20
_SAME_FACE = 0.4
"""Overlap, as a share of the union, from which on two regions mark one face: programs draw them differently."""
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Region:
    """A face of a photo.

    Attributes:
        box: Left, top, right and bottom in pixels of the upright photo.
        name: Whose it is; None: nobody knows.
        group: Number of its group; None: it is in none.
    """

    box: tuple[float, float, float, float]
    name: str | None
    group: int | None


@dataclass(frozen=True, slots=True)
class Lie:
    """How a photo lies in its file.

    Attributes:
        size_wh: In pixels, as it lies.
        orientation: EXIF's number of what makes it upright, 1 to 8.
    """

    size_wh: tuple[int, int]
    orientation: int

    @classmethod
    def of(cls, photo: Path) -> "Lie":
        """Read it from the head of the file.

        Raises:
            SidecarUnreadable: The photo is no longer what it was.
        """
        with quiet_pillow():
            try:
                with open_picture(photo) as image:
                    return cls(image.size, _orientation(image))
            except DECODE_ERRORS as error:
                raise SidecarUnreadable(f"{photo} has no sidecar", why=f"it can no longer be read: {error}") from error

    def area(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """Centre and size of a box of the upright photo, as shares of the photo as it lies: x, y, w, h."""
        is_on_its_side = self.orientation >= 5
        width, height = self.size_wh[::-1] if is_on_its_side else self.size_wh
        left, right = np.clip([box[0] / width, box[2] / width], 0, 1)
        top, bottom = np.clip([box[1] / height, box[3] / height], 0, 1)
        x, y, w, h = float(left + right) / 2, float(top + bottom) / 2, float(right - left), float(bottom - top)
        x, y = {
            1: (x, y),
            2: (1 - x, y),
            3: (1 - x, 1 - y),
            4: (x, 1 - y),
            5: (y, x),
            6: (y, 1 - x),
            7: (1 - y, 1 - x),
            8: (1 - y, x),
        }[self.orientation]
        return (x, y, h, w) if is_on_its_side else (x, y, w, h)


def sidecar_of(photo: Path, others: Iterable[Path] = ()) -> Path:
    """Where the sidecar of a photo is, or will be.

    That is ``photo.jpg.xmp``, as digiKam, darktable and Immich have it. A ``photo.xmp`` that is there, as Adobe's
    programs make it, is used if it can be of this photo only.

    Args:
        photo: The photo.
        others: The other photos of its folder.
    """
    own = photo.with_name(f"{photo.name}.xmp")
    adobes = photo.with_suffix(".xmp")
    is_shared = any(other != photo and other.stem == photo.stem for other in others)
    return adobes if not own.exists() and not is_shared and adobes.is_file() else own


def merge_regions(sidecar: Path, lie: Lie, regions: Sequence[Region]) -> bool:
    """Put the faces of a photo into its sidecar; without any, those of an earlier run are taken out.

    A face that somebody else has marked stays theirs; it gets our name only where it has none. A file with nothing
    left in it is removed.

    Args:
        sidecar: The file; made where there is none.
        lie: How the photo lies.
        regions: Its faces.

    Returns:
        Whether the file was written; one that would stay as it is, is not touched.

    Raises:
        SidecarUnreadable: The file that is there is no XMP. It stays as it is.
        StorageError: It cannot be written.
    """
    before = _content(sidecar)
    if not regions and not before:
        return False
    document = _parsed(sidecar, before)
    unchanged = document.toxml(encoding="utf-8")
    marked = _Regions(document)
    marked.replace(lie, regions)
    after = document.toxml(encoding="utf-8")
    if before and after == unchanged:
        return False
    with storage_errors(sidecar):
        if marked.is_empty:
            sidecar.unlink()
        else:
            write_whole(sidecar, after)
    return True


def _content(sidecar: Path) -> bytes:
    """What is in a file; nothing where there is none."""
    try:
        return sidecar.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SidecarUnreadable(
            f"{sidecar} cannot be read, and stays as it is",
            why=error.strerror or str(error),
            fix="Check its permissions",
        ) from error


def _orientation(image: PIL.Image.Image) -> int:
    try:
        orientation = image.getexif().get(Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1  # the note on how to turn it is damaged; it was looked at as it lies
    return int(orientation) if orientation in range(1, 9) else 1


def _parsed(sidecar: Path, data: bytes) -> Document:
    if len(data) > _MOST_BYTES:
        raise _no_xmp(sidecar, f"it has more than {_MOST_BYTES >> 20} MB")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise _no_xmp(sidecar, "it declares entities, which no XMP does")
    try:
        # Entities are refused above, and expat bounds what they may grow to.
        document = xml.dom.minidom.parseString(data or _EMPTY.encode())  # noqa: S318 -- see above
    except (ExpatError, UnicodeError, ValueError) as error:
        raise _no_xmp(sidecar, str(error)) from error
    if not document.getElementsByTagNameNS(_RDF, "RDF"):
        raise _no_xmp(sidecar, "there is no rdf:RDF in it")
    return document


def _no_xmp(sidecar: Path, why: str) -> SidecarUnreadable:
    return SidecarUnreadable(f"{sidecar} is no XMP, and stays as it is", why=why, fix="Look at it, or move it away")


class _Regions:
    """The face regions of a sidecar.

    Args:
        document: All of it.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._rdf = document.getElementsByTagNameNS(_RDF, "RDF")[0]

    @property
    def is_empty(self) -> bool:
        """Whether the sidecar says nothing at all."""
        return not _children(self._rdf)

    def replace(self, lie: Lie, regions: Sequence[Region]) -> None:
        """Take our regions and names out, and put others in."""
        theirs = self._take_ours_out()
        fresh = []
        for region in regions:
            known = _same_face(theirs, lie.area(region.box))
            if known is None:
                fresh.append(region)
            elif region.name and not _value(known, _REGIONS, "Name"):
                _put(_described(known), _REGIONS, "Name", region.name)
                _put(_described(known), _OURS, "Named", "True")
        if fresh:
            bag = self._bag(lie)
            for region in fresh:
                self._add(bag, lie, region)
        elif not theirs:
            self._drop_list()

    def _take_ours_out(self) -> list[Element]:
        """Remove what an earlier run wrote; the regions of others."""
        theirs = []
        lists = self._rdf.getElementsByTagNameNS(_REGIONS, "RegionList")
        for item in [item for one in lists for item in one.getElementsByTagNameNS(_RDF, "li")]:
            if item.getElementsByTagNameNS(_OURS, "Group"):
                _remove(item)
                continue
            theirs.append(item)
            described = _described(item)
            if described.hasAttributeNS(_OURS, "Named"):
                described.removeAttributeNS(_OURS, "Named")
                described.removeAttributeNS(_REGIONS, "Name")
        return theirs

    def _drop_list(self) -> None:
        """Remove a list without regions, and the description that held nothing else."""
        for listed in self._rdf.getElementsByTagNameNS(_REGIONS, "Regions"):
            parent = listed.parentNode
            _remove(listed)
            if isinstance(parent, Element) and parent.parentNode is self._rdf and _says_nothing(parent):
                _remove(parent)

    def _bag(self, lie: Lie) -> Element:
        """The list that regions belong into."""
        lists = self._rdf.getElementsByTagNameNS(_REGIONS, "RegionList")
        if lists:
            bags = lists[0].getElementsByTagNameNS(_RDF, "Bag")
            return bags[0] if bags else self._child(lists[0], _RDF, "Bag")
        infos = self._rdf.getElementsByTagNameNS(_REGIONS, "Regions")
        info = _described(infos[0]) if infos else self._resource(self._description(), _REGIONS, "Regions")
        if not info.getElementsByTagNameNS(_REGIONS, "AppliedToDimensions"):
            applied = self._child(info, _REGIONS, "AppliedToDimensions")
            width, height = lie.size_wh
            for name, value in (("w", str(width)), ("h", str(height)), ("unit", "pixel")):
                _put(applied, _DIMENSIONS, name, value)
        return self._child(self._child(info, _REGIONS, "RegionList"), _RDF, "Bag")

    def _description(self) -> Element:
        """A description of the photo of our own: nothing of others is changed by it."""
        description = self._child(self._rdf, _RDF, "Description")
        for space in (_REGIONS, _DIMENSIONS, _AREA, _OURS):
            _declare(description, space)
        _put(description, _RDF, "about", _about(self._rdf))
        return description

    def _add(self, bag: Element, lie: Lie, region: Region) -> None:
        described = self._child(self._child(bag, _RDF, "li"), _RDF, "Description")
        if region.name:
            _put(described, _REGIONS, "Name", region.name)
        _put(described, _REGIONS, "Type", "Face")
        area = self._child(described, _REGIONS, "Area")
        for name, value in zip("xywh", lie.area(region.box), strict=True):
            _put(area, _AREA, name, f"{value:.{_DIGITS}f}")
        _put(area, _AREA, "unit", "normalized")
        extensions = self._resource(described, _REGIONS, "Extensions")
        group = self._child(extensions, _OURS, "Group")
        group.appendChild(self._document.createTextNode("" if region.group is None else str(region.group)))

    def _resource(self, parent: Element, space: str, name: str) -> Element:
        made = self._child(parent, space, name)
        _put(made, _RDF, "parseType", "Resource")
        return made

    def _child(self, parent: Element, space: str, name: str) -> Element:
        made = self._document.createElementNS(space, f"{_PREFIXES[space]}:{name}")
        parent.appendChild(made)
        _declare(made, space)
        return made


def _put(element: Element, space: str, name: str, value: str) -> None:
    """Set an attribute."""
    _declare(element, space)
    element.setAttributeNS(space, f"{_PREFIXES[space]}:{name}", value)


def _declare(element: Element, space: str) -> None:
    """Say what a prefix stands for, unless that is said further up."""
    name = f"xmlns:{_PREFIXES[space]}"
    above: Node | None = element
    while isinstance(above, Element):
        if above.hasAttribute(name):
            if above.getAttribute(name) == space:
                return
            break  # there it stands for something else
        above = above.parentNode
    element.setAttributeNS(_XMLNS, name, space)


def _value(item: Element, space: str, name: str) -> str:
    """A property of a region, which may be an attribute or an element; empty: it has none."""
    described = _described(item)
    if described.hasAttributeNS(space, name):
        return described.getAttributeNS(space, name)
    for element in described.getElementsByTagNameNS(space, name):
        return "".join(node.data for node in element.childNodes if node.nodeType == node.TEXT_NODE)
    return ""


def _described(element: Element) -> Element:
    """Where the properties of a structure stand: in the element itself, or in a description in it."""
    inner = [node for node in _children(element) if node.namespaceURI == _RDF and node.localName == "Description"]
    return inner[0] if inner else element


def _children(element: Element) -> list[Element]:
    return [node for node in element.childNodes if isinstance(node, Element)]


def _says_nothing(description: Element) -> bool:
    """Whether a description has no property."""
    attributes = description.attributes.values() if description.attributes else ()
    properties = [one for one in attributes if one.namespaceURI not in (_XMLNS, _RDF)]
    return not properties and not _children(description)


def _about(rdf: Element) -> str:
    """What the descriptions of a sidecar say that they are about; all must say the same."""
    for description in _children(rdf):
        if description.hasAttributeNS(_RDF, "about"):
            return description.getAttributeNS(_RDF, "about")
    return ""


def _remove(element: Element) -> None:
    if element.parentNode is not None:
        element.parentNode.removeChild(element)


def _same_face(items: Sequence[Element], area: Sequence[float]) -> Element | None:
    """The region that marks a face already."""
    best, most = None, _SAME_FACE
    for item in items:
        if _value(item, _REGIONS, "Type") not in ("", "Face"):
            continue
        marked = _area_of(item)
        if marked is None:
            continue
        overlap = float(iou(_corners(marked), _corners(area))[0, 0])
        if overlap >= most:
            best, most = item, overlap
    return best


def _area_of(item: Element) -> tuple[float, ...] | None:
    areas = item.getElementsByTagNameNS(_REGIONS, "Area")
    try:
        return tuple(float(_value(areas[0], _AREA, name)) for name in "xywh") if areas else None
    except ValueError:
        return None  # not a number: somebody else's mistake, which stays


def _corners(area: Sequence[float]) -> Floats:
    x, y, w, h = area
    return np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], np.float32)
