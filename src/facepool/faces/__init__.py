"""From pixels to embeddings.

In: images, (H, W, 3) uint8 BGR. Out: ``Faces``, one row a face, with boxes, landmarks, quality, pose and embedding.
Read ``analyze`` first; the stages beside it know nothing of each other, and ``load`` puts them together.
"""
