"""The options of the sweeper as they are typed.

Hydra takes range(5) or 0.1,0.01 for a sweep over its own configuration, and refuses it; so they become text.
This module is imported at every start, so it imports nothing.
"""

SEEDS = ("hydra.sweeper.tuning_seeds", "hydra.sweeper.held_out_seeds")
SPACE = "hydra.sweeper.space."
FIELDS = ("values", "low", "high", "scale", "integer")  # of an axis of a search space


def as_text(word: str) -> str:
    """A word of the command line, with seeds and the values of a search space as text, to be read by the sweeper.

    A space of hydra.sweeper.space is added where there is none, without a plus sign before the word.
    """
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    is_axis = name.startswith(SPACE) and name.rpartition(".")[2] not in FIELDS
    if name.startswith(SPACE):
        key = f"++{name}"
    if (is_axis or name in SEEDS) and equals and value[:1] not in ("'", '"', "[", "{") and value != "null":
        value = f"'{value}'"
    return f"{key}{equals}{value}"
