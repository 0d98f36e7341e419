"""`python -m src.deliver`: take what lies in the outbox to its tracking stores."""

import sys
from collections.abc import Sequence

from descent_lab.tracking import outbox
from descent_lab.tracking.server import Stores
from descent_lab.tracking.uploader import Backoff, deliver_abandoned


def main(arguments: Sequence[str] = ()) -> int:
    """Deliver every run that no living process is looking after; the exit code says whether any is left."""
    stores = Stores()
    try:
        delivered, left = deliver_abandoned(stores)
        for store in stores.opened.values():
            Backoff().attempt(store.uri, "not tidied", store.delete_orphans)
    except KeyboardInterrupt:
        print("interrupted: what was not delivered stays in the outbox", file=sys.stderr)
        return 130
    print(f"{delivered} runs delivered, {left} left in the outbox {outbox.root()}")
    return 1 if left else 0
