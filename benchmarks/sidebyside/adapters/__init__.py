"""One module a library: how it does what the cases ask for. Each runs in that library's own environment."""
