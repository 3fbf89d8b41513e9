"""A virtual camera that films genuine heads and attacks for `benchmarks/pad.py`."""
