"""What people see: boxes and names on pictures, the screen of a scan, and pictures side by side.

In come images with what was found in them; out go images, and nothing is shown or written here. Read ``painter``
first; ``text`` shapes names in any script, ``ring`` and ``coverage`` draw the scan, ``presence`` lists who is there.
"""

from facepool.lazy import attach_stub

# What is exported stands in __init__.pyi and is imported when it is first used: boxes and names need no ring.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
