"""Liveness: is it a head that moves before the camera, and does it do what it is asked?

Pure: geometry on what the analyzer has found, with times that come with the frames; no pictures, no threads, no clock.
Read ``session`` first; ``challenge`` draws what is asked, ``flat`` tells a plane from a head by five landmarks.
Masks, deepfakes fed into a virtual camera and live face swaps are out of reach.
"""
