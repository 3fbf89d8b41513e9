"""Register a face once, from every angle, and recognize it anywhere."""
