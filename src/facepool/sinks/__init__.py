"""Sinks: events for other programs, over the network, without ever holding up recognition.

Comes in: an event as a JSON object. Goes out: a POST to a webhook, or an MQTT message; and what Home Assistant has to
know. Read ``outbox`` first: both sinks are one. ``outputs`` opens what the settings name.
"""

from facepool.sinks.home_assistant import HomeAssistant
from facepool.sinks.mqtt import BrokerConnection, MqttSink
from facepool.sinks.outbox import EventRecord, Outbox, Rejected, Unreachable
from facepool.sinks.outputs import EventOutputs
from facepool.sinks.webhook import WebhookSink

__all__ = [
    "BrokerConnection",
    "EventOutputs",
    "EventRecord",
    "HomeAssistant",
    "MqttSink",
    "Outbox",
    "Rejected",
    "Unreachable",
    "WebhookSink",
]
