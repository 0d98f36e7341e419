"""A trained network that can leave the package: plain arrays and names, applied with NumPy alone.

An exported model carries a copy of these files as its code, so they import nothing of descent_lab but one another.
"""
