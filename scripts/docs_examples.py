"""Docstrings whose examples, the lines that begin with >>>, are shown as code. mkdocs.yml loads this."""

import re
from typing import Any

from griffe import Extension, Object

EXAMPLES = re.compile(r"(?m)(?:^>>> .*\n?)+")


class Examples(Extension):
    """Puts a fence around the examples in each docstring."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = EXAMPLES.sub(fenced, obj.docstring.value)


def fenced(examples: re.Match[str]) -> str:
    """The lines without >>>, as a block of Python."""
    lines = [line.removeprefix(">>> ") for line in examples.group().strip().splitlines()]
    return "\n".join(["```python", *lines, "```"])
