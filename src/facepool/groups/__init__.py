"""Unknown people, corrections, learning and photo libraries: faces that belong together, and who they are.

Comes in: sightings of live recognition, and faces of photos. Goes out: groups of one person each, what people are asked
about them, and people of the gallery once somebody has said yes.

Who was seen before cameras; read ``keeper`` first, then ``unknown``:

- ``keeper`` keeps sightings of live recognition in the gallery's inbox, in a thread of its own
- ``joining`` which unknown person somebody unknown is
- ``unknown`` what people do with unknown people: name, add, ignore, split, join, delete
- ``naming`` one of these becomes somebody of the gallery; ``choosing`` which of their faces become templates
- ``correct`` somebody was taken for the wrong person; ``judge`` which face becomes a template of the right one;
  ``preview`` who else would be named differently
- ``learn`` proposes faces as templates; ``drift`` which ones may become some, and as what
- ``undoing`` takes any of that back

Who is in a folder of photos; read ``library`` first:

- ``library`` looks at photos and groups their faces; ``cluster`` is the rule, ``shelf`` what is kept between runs
- ``page``, ``people_folders``, ``sidecar`` write what was found: HTML, a folder for each person, XMP face regions
"""
