"""A plug-in of descent-lab.

Importing it makes known the parts that go by a name. Classes are imported when a choice in conf/ names them.
"""

from descent_lab_example import activations, layers, losses, metrics, sections

__all__ = ["activations", "layers", "losses", "metrics", "sections"]
