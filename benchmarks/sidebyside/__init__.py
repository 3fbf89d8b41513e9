"""facepool beside its peers: what ``benchmarks/run.py`` is made of."""
