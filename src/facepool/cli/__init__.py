"""The command line: parse, call a room below, present. No command computes anything itself.

Comes in: what the user typed. Goes out: lines or JSON on standard output, a window, files, and an exit code. Read
``main`` first, then ``context``, which every command gets, and then the command's module in ``commands``.
"""
