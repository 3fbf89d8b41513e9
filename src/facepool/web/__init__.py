"""The server: a page for browsers, a REST interface, WebSockets and cameras around one engine and one pool."""
