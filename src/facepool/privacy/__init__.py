"""What is kept of a person, and whether it is gone: the answers to those who ask for their data or their erasure.

Read ``report`` first: `privacy_report` asks every place. ``holdings`` has the kinds of what is kept in words,
``tables`` looks into a pool, ``places`` beside it, ``traces`` at the bytes of files after an erasure.
"""
