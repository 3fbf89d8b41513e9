"""Where events go beside the terminal: other programs, over the network, without ever holding up recognition."""

from facepool.sinks.mqtt import MqttSink
from facepool.sinks.outbox import Event, Outbox, Rejected, Unreachable
from facepool.sinks.webhook import WebhookSink

__all__ = ["Event", "MqttSink", "Outbox", "Rejected", "Unreachable", "WebhookSink"]
