"""The commands of ``facepool``, one module each: options, calls into the library, results."""
