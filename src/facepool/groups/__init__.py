"""Unknown people, corrections, learning and photo libraries: faces that belong together, and who they are.

Comes in: sightings of live recognition, and faces of photos. Goes out: groups of one person each, what people are asked
about them, and people of the gallery once somebody has said yes.
"""
