"""Where frames come from and where pictures and recordings go.

``open_source`` turns a camera number, URL, folder or file into a ``FrameSource``.
"""

from facepool.lazy import attach_stub

# What is exported stands in __init__.pyi and is imported when it is first used: pictures need no video codecs.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
