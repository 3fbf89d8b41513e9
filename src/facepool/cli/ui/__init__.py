"""What commands share on the terminal, in the window and on the disk.

Comes in: sources as the user named them, and results. Goes out: text, tables, JSON, pictures. Read ``console`` first,
which prints, then ``sources`` and ``viewer``, which every command that looks at something goes through.
"""
