"""Liveness checks that clients make at a server: drawn, followed, and used once.

``checks`` follows the head of one person after another: in come frames, out goes what they do next, and in the end a
result. ``results`` remembers, for all processes of a pool, which checks there were, and lets each result be used once.
``record`` is how a result looks in answers and logs.
"""
