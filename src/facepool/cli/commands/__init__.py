"""The commands of ``facepool``, one module each.

Comes in: a ``CommandContext`` with what the user typed. Goes out: calls into the rooms below, results, an exit code.
Read ``verify`` first, the shortest, then ``recognize``. ``original`` has the two commands of the 2020 project.
"""
