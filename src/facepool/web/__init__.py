"""The server: a page for browsers, a REST interface, WebSockets and cameras around one engine and one pool.

In come requests, frames of browsers and the pictures of cameras; out go answers, events and the page.
Read ``app`` first: it joins ``middleware`` (what every request passes), ``services`` (what requests work with),
``api`` and ``compreface`` (the routes).
"""
