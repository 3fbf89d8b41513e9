"""What tests share: places, synthetic people and media, fakes of what is slow or far away, and real commands.

Nothing here asserts on its own or knows a single test. `paths` says where things are, `commands` runs facepool as a
user does, `fake_analyzer` stands in for the networks, `pools` and `synthetic_camera` make pools and people.
"""
