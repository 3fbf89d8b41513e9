"""Registration: which captures of a person become templates.

In: pictures, or frames of somebody who looks around in a circle. Out: samples in the gallery, stored in one change.
Read ``pictures`` first, then ``guided``, which drives ``scan``.
"""
