"""Tidy frames in, matplotlib figures out: no statistics, no tracking. The same frame gives the same bytes.

Frames are those that `src.statistics` gives, with the problem in `dataset` and what competes in `entrant`.

| picture | module |
| --- | --- |
| one colour per optimizer, panels, saving | `style` |
| curves: median and interval along training, by entrant or by lr | `curves` |
| final loss against lr, best of k trials | `tuning` |
| runs that reached a target by when, also against batch size; performance profiles | `targets` |
| average ranks and who can be told apart | `ranks` |
| prediction against truth, confusion matrices | `predictions` |
"""

from src.figures.curves import by_entrant, by_lr
from src.figures.predictions import confusion, prediction_against_truth
from src.figures.ranks import critical_difference_diagram
from src.figures.style import Style, save, styles, styles_in_order
from src.figures.targets import against_batch_size, profiles, reached, surviving
from src.figures.tuning import best_of_k, loss_against_lr

__all__ = [
    "Style",
    "against_batch_size",
    "best_of_k",
    "by_entrant",
    "by_lr",
    "confusion",
    "critical_difference_diagram",
    "loss_against_lr",
    "prediction_against_truth",
    "profiles",
    "reached",
    "save",
    "styles",
    "styles_in_order",
    "surviving",
]
