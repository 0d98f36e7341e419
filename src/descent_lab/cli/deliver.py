"""`python -m src.deliver`: take what lies in the outbox to its tracking stores."""

from collections.abc import Sequence

from descent_lab.cli.entry import Parser, reported
from descent_lab.wording import counted


@reported
def main(arguments: Sequence[str] = ()) -> int:
    """Deliver every run that no living process is looking after; the exit code says whether any is left."""
    Parser("deliver", description=__doc__ or "").parse_args(arguments)
    from descent_lab.tracking import outbox  # takes a second: not for --help
    from descent_lab.tracking.stores import Stores
    from descent_lab.tracking.uploader import Backoff, deliver_abandoned

    stores, backoff = Stores(), Backoff()
    delivered, left = deliver_abandoned(stores, backoff=backoff)
    for store in stores.opened.values():
        backoff.attempt(store.uri, "not tidied", store.delete_orphans)
    print(f"{counted(delivered, 'run')} delivered, {left} left in the outbox {outbox.root()}")
    return 1 if left else 0
