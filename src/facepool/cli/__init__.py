"""The command line: parse, call a room below, present. No command computes.

In come words, settings and keys pressed; out go lines, JSON, windows and an exit code. Read ``main`` first: the table
of commands and how errors end; then a module of ``commands``, with ``context`` and ``options``, which all of them use.
"""
