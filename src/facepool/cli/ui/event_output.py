"""Where events go: to standard output as JSON, to files with crops, and to other programs over the network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from facepool.capture import write_image
from facepool.cli.ui.console import Console
from facepool.recognize.events import Event
from facepool.records import event_record
from facepool.types import Frame


class Sink(Protocol):
    """Another program that gets events."""

    def put(self, event: Mapping[str, object]) -> None:
        """Take an event; returns at once."""
        ...


class EventOutput:
    """Passes events on to everybody who asked for them.

    Args:
        console: Prints it in JSON mode.
        sinks: Other programs.
        crops: Folder for the best picture of the face so far; None for none. It is made when it is needed.
    """

    def __init__(self, console: Console, sinks: Sequence[Sink] = (), crops: Path | None = None) -> None:
        self._console = console
        self._sinks = sinks
        self._crops = crops

    def emit(self, frame: Frame, events: Iterable[Event]) -> None:
        """Pass on what happened with a frame, in order."""
        for event in events:
            record = event_record(frame, event, self._keep_crop(frame, event))
            self._console.emit(record)
            for sink in self._sinks:
                sink.put(record | {"at": datetime.now(UTC).isoformat(timespec="milliseconds")})

    def _keep_crop(self, frame: Frame, event: Event) -> Path | None:
        if self._crops is None or event.crop_bgr is None:
            return None
        self._crops.mkdir(parents=True, exist_ok=True)
        # No name of a person in it: a name may hold what no file name may.
        path = self._crops / f"{Path(frame.source).stem or 'camera'}-{frame.index:06d}-{event.track}-{event.kind}.png"
        write_image(path, event.crop_bgr)
        return path


@contextmanager
def open_sinks(webhooks: Sequence[str], brokers: Sequence[str]) -> Iterator[list[Sink]]:
    """Sinks for addresses. At the end what waits is delivered; what never arrived, the log says.

    Raises:
        ConfigError: An address cannot be used, or the client for it is not installed.
    """
    if not webhooks and not brokers:
        yield []
        return
    from facepool.sinks import MqttSink, WebhookSink  # noqa: PLC0415 -- HTTP takes long to import, and few commands need it

    with ExitStack() as stack:
        yield [
            *(stack.enter_context(closing(WebhookSink(url))) for url in webhooks),
            *(stack.enter_context(closing(MqttSink(url))) for url in brokers),
        ]
