"""What people see: boxes and names on pictures, and pictures side by side."""

from facepool.overlay.environment import environment
from facepool.overlay.painter import Label, Painter, Style, mirror
from facepool.overlay.sheet import contact_sheet

__all__ = ["Label", "Painter", "Style", "contact_sheet", "environment", "mirror"]
