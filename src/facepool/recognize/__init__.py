"""Who is it: pictures, moving sources, and two faces compared.

In: images or frames, and a gallery. Out: decisions (a person or unknown, and why) and events. Read ``pictures`` first,
then ``live``; both decide by ``decide``.
"""
