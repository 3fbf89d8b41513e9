"""Registration: which captures of a person become templates.

In: pictures, or frames of a person who looks around in a circle. Out: samples in the gallery, stored in one change.
Read ``session`` first; ``pictures`` judges a picture, ``scan`` guides a head around the ``ring``, ``coverage`` reports.
"""
