"""Python's way in: problems, training, sweeps and stored runs as objects, arrays and frames.

The names are those of `descent_lab` itself, which imports them when they are first used.
"""
