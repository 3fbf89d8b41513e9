"""Models: from the name of a network to an ONNX file that is verified and ready to run.

Comes in: a name, or a description of a user's own network. Goes out: an ``InstalledModel``. Read ``catalog`` first
(what there is, and how it is fed), then ``store`` (what lies on the disk); ``sources`` and ``package_index`` fetch,
``graphs`` cleans ONNX files up, ``describe`` reads users' descriptions, ``checkpoints`` converts PyTorch files.
"""
