"""The server's own REST interface and its WebSockets, under ``/v1``.

In come requests that ``middleware`` let through; out go JSON, pictures and events. Read ``persons`` first; ``schemas``
describes what goes in and out, ``pictures`` reads photos of requests, ``live`` talks with browsers over WebSockets, and
``enroll`` by its means.
"""
