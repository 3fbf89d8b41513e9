"""How good it is: in come pictures of known people or annotated faces, out go error rates with intervals, and reports.

Also calibration: in comes a pool, out goes the threshold at which a given share of strangers would be named in it.
Read first ``verification`` (1:1): the way from ``protocols`` and ``embeddings`` over ``metrics`` to results.
"""
