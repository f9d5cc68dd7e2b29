"""Membership inference: was this sample among those that the network was trained on?

One attack a file, on what was seen of a network (``records``); ``known`` lists them by name.
"""
