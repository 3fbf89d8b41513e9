"""What people see: boxes and names on pictures, and pictures side by side."""

from facepool.overlay.environment import environment
from facepool.overlay.painter import Label, Painter, Style, mirror
from facepool.overlay.sheet import contact_sheet
from facepool.overlay.text import before_number

__all__ = ["Label", "Painter", "Style", "before_number", "contact_sheet", "environment", "mirror"]
