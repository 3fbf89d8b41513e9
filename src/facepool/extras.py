"""The parts of facepool that need packages beyond the core, and the one line that users without them read.

``pip install 'facepool[NAME]'`` brings an extra; the same names stand in pyproject.toml, and a test compares them.
"""

import importlib.util
from dataclasses import dataclass

from facepool.errors import ConfigError, EngineMissing, ExtraMissing, FacepoolError


@dataclass(frozen=True, slots=True)
class Extra:
    """One extra.

    Attributes:
        modules: What it installs that facepool imports, by the names of the top-level modules.
        without: What cannot be done without it, as a sentence without its full stop.
        instead: What works all the same, as the second half of a sentence.
        error: The kind of error; those of two extras are older than the extras are.
    """

    modules: tuple[str, ...]
    without: str
    instead: str = ""
    error: type[FacepoolError] = ExtraMissing


EXTRAS = {
    "window": Extra(("pygame",), "No window can be opened", "use --headless, with --output to keep pictures"),
    "server": Extra(
        (
            "cryptography",
            "fastapi",
            "httptools",
            "limits",
            "prometheus_client",
            "python_multipart",
            "sse_starlette",
            "starlette",
            "uvicorn",
            "websockets",
        ),
        "The server cannot run",
    ),
    "evaluate": Extra(
        ("jinja2", "matplotlib"), "The report cannot be written", "leave out --output to see the figures only"
    ),
    "photos": Extra(("jinja2",), "The page of groups cannot be written", "leave out --output to see the groups only"),
    "mqtt": Extra(("paho",), "Events cannot go to an MQTT broker", "use --webhook", ConfigError),
    "heif": Extra(("pillow_heif",), "HEIF pictures (HEIC, of phones) cannot be read", "export them as JPEG"),
    "jpegxl": Extra(("imagecodecs",), "JPEG XL pictures cannot be read", "export them as JPEG"),
    "postgres": Extra(("pgvector", "psycopg"), "A pool in PostgreSQL cannot be used", "name a .db file with --pool"),
    "milvus": Extra(("grpc", "pymilvus"), "An index in Milvus cannot be used", "leave out --index"),
    "ray": Extra(("ray",), "The machines of a Ray cluster cannot be used", "leave out --ray"),
    "encrypted": Extra(("cryptography", "keyring", "sqlcipher3"), "An encrypted pool cannot be used"),
    "optimize": Extra(("nncf", "onnxruntime"), "Networks cannot be optimized", error=EngineMissing),
    "fonts": Extra(("manimgx_fonts", "manimgx_fonts_cjk"), "Some names cannot be drawn on pictures"),
}


def missing(extra: str) -> tuple[str, ...]:
    """The modules of an extra that are not installed; nothing is imported to find out."""
    return tuple(name for name in EXTRAS[extra].modules if importlib.util.find_spec(name) is None)


def command(extra: str) -> str:
    """What to type for an extra."""
    return f"pip install 'facepool[{extra}]'"


def require(extra: str) -> None:
    """Refuse early what cannot be done without an extra: before a camera is opened or a network is loaded.

    Raises:
        FacepoolError: Some of it is missing; of the kind that the extra names, mostly ``ExtraMissing``.
    """
    absent = missing(extra)
    if not absent:
        return
    wanted = EXTRAS[extra]
    verb = "is" if len(absent) == 1 else "are"
    instead = f", or {wanted.instead}" if wanted.instead else ""
    raise wanted.error(
        wanted.without, why=f"{', '.join(absent)} {verb} not installed", fix=f"Run: {command(extra)}{instead}"
    )
