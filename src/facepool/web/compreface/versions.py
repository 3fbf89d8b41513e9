"""Which networks looked, for clients that ask for the status."""

from facepool.web.engine import Engine


def versions(engine: Engine) -> dict[str, str]:
    """Plugin to its name, as CompreFace has it."""
    return {"detector": "facepool.RetinaFace", "calculator": f"facepool.{engine.analyzer.space.model}"}
