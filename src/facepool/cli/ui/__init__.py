"""What commands share on the terminal and in the window.

In come frames, decisions, hints and events; out go lines, tables, windows, recordings and questions to the user. Read
``console`` first, which writes every line; then ``viewer`` (frames on their way to the screen).
"""
