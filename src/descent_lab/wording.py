"""Words that all parts of the harness use in what they tell."""


def counted(n: int, what: str) -> str:
    """1 run, 2 runs"""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
