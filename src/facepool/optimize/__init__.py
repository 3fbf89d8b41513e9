"""Networks in 8 bits: made from some pictures, compared on others, kept when they do the same and are faster.

In: a float32 model and pictures of faces. Out: a report, and the new graph in the model store. Read ``optimizer``
first.
"""
