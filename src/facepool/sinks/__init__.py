"""Sinks: events for other programs, over the network, without ever holding up recognition.

Comes in: an event as a JSON object. Goes out: a POST to a webhook, or an MQTT message. Read ``outbox`` first: both
sinks are one.
"""

from facepool.sinks.mqtt import MqttSink
from facepool.sinks.outbox import EventRecord, Outbox, Rejected, Unreachable
from facepool.sinks.webhook import WebhookSink

__all__ = ["EventRecord", "MqttSink", "Outbox", "Rejected", "Unreachable", "WebhookSink"]
