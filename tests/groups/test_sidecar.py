from pathlib import Path
from typing import Any
from xml.dom.minidom import parseString

import numpy as np
import PIL.Image
import pytest

from facepool.capture import read_image
from facepool.errors import SidecarUnreadable
from facepool.groups.sidecar import Lie, Region, merge_regions, sidecar_of

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
UPRIGHT = Lie((400, 200), 1)
ADA = Region((100, 50, 200, 150), "Ada", 3)
NOBODY = Region((300, 20, 340, 60), None, 4)

# As digiKam and Adobe's programs write it: a list of keywords, a rating, and a region as elements.
OF_OTHERS = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- made by hand -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:regions="{MWG}" xmp:Rating="4">
   <dc:subject><rdf:Bag><rdf:li>beach &amp; sea</rdf:li></rdf:Bag></dc:subject>
   <regions:Regions rdf:parseType="Resource">
    <regions:AppliedToDimensions xmlns:d="{DIMENSIONS}" d:w="400" d:h="200" d:unit="pixel"/>
    <regions:RegionList>
     <rdf:Bag>
      <rdf:li rdf:parseType="Resource">
       <regions:Name>Grace</regions:Name>
       <regions:Type>Face</regions:Type>
       <regions:Area xmlns:a="{AREA}" a:x="0.375" a:y="0.5" a:w="0.25" a:h="0.5" a:unit="normalized"/>
      </rdf:li>
     </rdf:Bag>
    </regions:RegionList>
   </regions:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def regions_of(sidecar: Path) -> list[tuple[str, tuple[float, ...]]]:
    """Name and area of each region."""
    found = []
    for area in parseString(sidecar.read_bytes()).getElementsByTagNameNS(MWG, "Area"):
        struct: Any = area.parentNode
        inside = [node.firstChild.data for node in struct.getElementsByTagNameNS(MWG, "Name")]
        name = struct.getAttributeNS(MWG, "Name") or "".join(inside)
        found.append((name, tuple(float(area.getAttributeNS(AREA, edge)) for edge in "xywh")))
    return found


def test_a_sidecar_has_names_areas_and_the_size_of_the_photo(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    assert merge_regions(sidecar, UPRIGHT, [ADA, NOBODY])
    assert regions_of(sidecar) == [("Ada", (0.375, 0.5, 0.25, 0.5)), ("", (0.8, 0.2, 0.1, 0.2))]
    applied = parseString(sidecar.read_bytes()).getElementsByTagNameNS(MWG, "AppliedToDimensions")[0]
    assert [applied.getAttributeNS(DIMENSIONS, name) for name in ("w", "h", "unit")] == ["400", "200", "pixel"]


def test_the_same_faces_again_change_nothing(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    merge_regions(sidecar, UPRIGHT, [ADA, NOBODY])
    before = sidecar.read_bytes()
    assert not merge_regions(sidecar, UPRIGHT, [ADA, NOBODY])
    assert sidecar.read_bytes() == before


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(OF_OTHERS, encoding="utf-8")
    assert merge_regions(sidecar, UPRIGHT, [NOBODY])
    text = sidecar.read_text(encoding="utf-8")
    for kept in (
        'xmp:Rating="4"',
        "beach &amp; sea",
        "made by hand",
        "Grace",
        'x:xmptk="XMP Core 6.0.0"',
        "<?xpacket end",
    ):
        assert kept in text
    assert [name for name, _ in regions_of(sidecar)] == ["Grace", ""]


def test_taking_our_regions_out_leaves_the_file_of_others_as_it_was(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(OF_OTHERS, encoding="utf-8")
    merge_regions(sidecar, UPRIGHT, [NOBODY])
    merge_regions(sidecar, UPRIGHT, [])
    assert parseString(sidecar.read_bytes()).toxml() == parseString(OF_OTHERS.encode()).toxml()


def test_a_face_that_somebody_else_named_stays_theirs(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(OF_OTHERS, encoding="utf-8")
    assert not merge_regions(sidecar, UPRIGHT, [ADA])
    assert [name for name, _ in regions_of(sidecar)] == ["Grace"]


def test_a_face_that_somebody_else_marked_without_a_name_gets_ours_until_it_is_taken_back(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    without_name = OF_OTHERS.replace("<regions:Name>Grace</regions:Name>", "")
    sidecar.write_text(without_name, encoding="utf-8")
    merge_regions(sidecar, UPRIGHT, [ADA])
    assert regions_of(sidecar) == [("Ada", (0.375, 0.5, 0.25, 0.5))]
    merge_regions(sidecar, UPRIGHT, [Region(ADA.box, "Grace", 3)])
    assert regions_of(sidecar) == [("Grace", (0.375, 0.5, 0.25, 0.5))]
    merge_regions(sidecar, UPRIGHT, [])
    assert [name for name, _ in regions_of(sidecar)] == [""]


def test_a_sidecar_of_ours_alone_goes_with_its_last_region(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    merge_regions(sidecar, UPRIGHT, [ADA])
    assert merge_regions(sidecar, UPRIGHT, [])
    assert not sidecar.exists()
    assert not merge_regions(sidecar, UPRIGHT, [])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no xml", "syntax error"),
        (b"<a/>", "no rdf:RDF"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entities"),
        (b"<x:xmpmeta", "not well-formed|unbound|no element|unclosed"),
    ],
)
def test_what_is_no_xmp_stays_as_it_is(tmp_path: Path, content: bytes, why: str) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(content)
    with pytest.raises(SidecarUnreadable, match=why):
        merge_regions(sidecar, UPRIGHT, [ADA])
    assert sidecar.read_bytes() == content


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_are_where_the_face_lies_in_the_file(tmp_path: Path, orientation: int) -> None:
    """A white face on black, stored in each of the eight ways: the region must hold the white pixels as they lie."""
    lying = np.zeros((60, 100, 3), np.uint8)
    lying[10:30, 60:90] = 255
    photo = tmp_path / "a.png"
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(lying).save(photo, exif=exif)
    rows, columns = np.nonzero(read_image(photo)[:, :, 0])
    lie = Lie.of(photo)
    assert lie.size_wh == (100, 60)
    x, y, w, h = lie.area((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    np.testing.assert_allclose((x, y, w, h), (0.75, 20 / 60, 0.3, 20 / 60), atol=1e-9)


def test_a_box_beyond_the_border_ends_there() -> None:
    assert UPRIGHT.area((-100, -50, 100, 50)) == pytest.approx((0.125, 0.125, 0.25, 0.25))


def test_the_sidecar_of_adobe_is_used_where_it_is_of_one_photo_only(tmp_path: Path) -> None:
    photo, raw = tmp_path / "a.jpg", tmp_path / "a.tif"
    assert sidecar_of(photo) == tmp_path / "a.jpg.xmp"
    (tmp_path / "a.xmp").write_text(OF_OTHERS, encoding="utf-8")
    assert sidecar_of(photo, [photo]) == tmp_path / "a.xmp"
    assert sidecar_of(photo, [photo, raw]) == tmp_path / "a.jpg.xmp"
    (tmp_path / "a.jpg.xmp").write_text(OF_OTHERS, encoding="utf-8")
    assert sidecar_of(photo, [photo]) == tmp_path / "a.jpg.xmp"
