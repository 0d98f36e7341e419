"""Tidy frames in, matplotlib figures out: no statistics, no tracking. The same frame gives the same bytes.

Frames are those that `analysis.statistics` gives, with the problem in `dataset` and what competes in `entrant`.

| picture | module |
| --- | --- |
| one colour per optimizer, panels, saving | `style` |
| curves: median and interval along training, by entrant or by lr | `curves` |
| final loss against lr, best of k trials | `tuning` |
| runs that reached a target by when, also against batch size; performance profiles | `targets` |
| average ranks and who can be told apart | `ranks` |
| prediction against truth, confusion matrices | `predictions` |
"""

from descent_lab.report.figures.curves import by_entrant, by_lr
from descent_lab.report.figures.predictions import confusion, prediction_against_truth
from descent_lab.report.figures.ranks import critical_difference_diagram
from descent_lab.report.figures.style import Style, save, styles, styles_in_order
from descent_lab.report.figures.targets import against_batch_size, profiles, reached, surviving
from descent_lab.report.figures.tuning import best_of_k, loss_against_lr

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
