"""Statistics that compare runs: tidy frames in, tidy frames out. No tracking, no figures, no files.

`runs` has one row per run: `run_id, dataset, backend, optimizer, lr, seed, status, final_train_loss, ..., steps,
gradients, step_seconds`. `curves` has one row per record and metric: `run_id, step, epoch, step_seconds, metric,
value`. The entrants, which compete, are the values of one column, `optimizer` unless an argument names another. Seeds
are paired: runs of the same seed have the same start and the same batches.

| question | module |
| --- | --- |
| what does one setting reach, across seeds? | `seeds`; during training: `curves` |
| which value of a run is compared? | `comparable` |
| which of two entrants is better, by how much, how sure? | `verdicts`; over further data sets: `ranks` |
| by which test, at which level? | `blocks`, `means`; `hodges_lehmann`, `anytime`; `family` |
| what does one setting for all problems reach? | `one_setting` |
| how long until a shared target is reached? | `targets`, `runtimes`; over many problems: `profiles` |
| which learning rate, and how much does it matter? | `tuning`, `cautions` |
| how good over many problems, in one number? | `aggregates` |
| where does the spread between seeds come from? | `variance` |
| what else differs between the entrants? | `confounds` |
| do backends follow the same curve? | `agreement` |
| what did the runs cost, and were all entrants given the same? | `cost`, `fairness` |

A diverged run is never dropped: in comparisons it counts as its own start (`comparable`), and elsewhere as worse than
every other value (`frames`). tests/COVERAGE.md holds what was measured of the methods: how often the intervals contain
the true value, and how often the tests are wrong.
"""

from descent_lab.analysis.statistics.aggregates import aggregates, left_behind, probability_better, scores
from descent_lab.analysis.statistics.agreement import agreement
from descent_lab.analysis.statistics.blocks import blocks, differences, tuning_share
from descent_lab.analysis.statistics.cautions import tuning_warnings
from descent_lab.analysis.statistics.comparable import comparable, counted_otherwise, starts, with_diverged_blocks
from descent_lab.analysis.statistics.confounds import confounds
from descent_lab.analysis.statistics.cost import Cost, gradient_equivalents
from descent_lab.analysis.statistics.curves import summarise_curves
from descent_lab.analysis.statistics.fairness import fairness_ledger
from descent_lab.analysis.statistics.groups import indistinguishable
from descent_lab.analysis.statistics.one_setting import cost_of_one_setting, one_setting
from descent_lab.analysis.statistics.profiles import performance_profile, performance_ratios, profile_score
from descent_lab.analysis.statistics.ranks import (
    average_ranks,
    critical_difference,
    friedman,
    leave_one_out,
    places,
    rank_pairs,
)
from descent_lab.analysis.statistics.runtimes import expected_runtime, runtime_ecdf, survival, time_to_target
from descent_lab.analysis.statistics.seeds import summarise
from descent_lab.analysis.statistics.targets import (
    common_records,
    first_hits,
    given_targets,
    interpolated_targets,
    reference_targets,
    without_targets,
)
from descent_lab.analysis.statistics.tuning import (
    best_of_k,
    best_setting,
    centres,
    centres_by_fold,
    sensitivity,
    tuning_cells,
)
from descent_lab.analysis.statistics.typical import typical
from descent_lab.analysis.statistics.variance import variance_components
from descent_lab.analysis.statistics.verdicts import Asked, verdicts

__all__ = [
    "Asked",
    "Cost",
    "aggregates",
    "agreement",
    "average_ranks",
    "best_of_k",
    "best_setting",
    "blocks",
    "centres",
    "centres_by_fold",
    "common_records",
    "comparable",
    "confounds",
    "cost_of_one_setting",
    "counted_otherwise",
    "critical_difference",
    "differences",
    "expected_runtime",
    "fairness_ledger",
    "first_hits",
    "friedman",
    "given_targets",
    "gradient_equivalents",
    "indistinguishable",
    "interpolated_targets",
    "leave_one_out",
    "left_behind",
    "one_setting",
    "performance_profile",
    "performance_ratios",
    "places",
    "probability_better",
    "profile_score",
    "rank_pairs",
    "reference_targets",
    "runtime_ecdf",
    "scores",
    "sensitivity",
    "starts",
    "summarise",
    "summarise_curves",
    "survival",
    "time_to_target",
    "tuning_cells",
    "tuning_share",
    "tuning_warnings",
    "typical",
    "variance_components",
    "verdicts",
    "with_diverged_blocks",
    "without_targets",
]
