"""PyTorch checkpoints of the original project: a ``.pth`` file comes in, a graph that runs and its spec go out.

No PyTorch is needed, and nothing that a file contains is run. Read ``convert`` first: ``torch_file`` takes the tensors
out of the file, ``networks`` knows the two layouts, ``layers`` writes their layers as ONNX.
"""

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar")
"""How the names of checkpoints end."""
