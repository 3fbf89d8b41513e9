"""PyTorch checkpoints of the original project: a ``.pth`` file comes in, a graph that runs and its spec go out.

No PyTorch is needed, and nothing that a file contains is run. Read ``convert`` first, which knows the two networks and
writes them as ONNX; ``torch_file`` takes the tensors out of the file.
"""

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar")
"""How the names of checkpoints end."""
