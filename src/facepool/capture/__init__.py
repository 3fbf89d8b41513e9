"""Capture: where frames come from, and how pictures and recordings are written.

Comes in: what the user named, a camera number, address, folder or file. Goes out: a ``FrameSource``. Read ``opening``
first, which picks the source, then ``source``, what all of them have in common; ``live`` keeps cameras and streams
going, ``folders`` is the one walk through folders, ``pictures`` reads by content, as ``formats`` tells it.
"""

from facepool.lazy import attach_stub

# What is exported stands in __init__.pyi and is imported when it is first used: pictures need no video codecs.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
