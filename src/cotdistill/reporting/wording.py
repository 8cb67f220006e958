"""Numbers as the report writes them, everywhere alike."""


def percent(share: float) -> str:
    """Return a share in percent, without the sign."""
    return f"{100 * share:.1f}"


def interval(value: float, low: float, high: float) -> str:
    """Return a share with its interval in percent: "66.0 [60.0, 71.0]"."""
    return f"{percent(value)} [{percent(low)}, {percent(high)}]"


def points(difference: float) -> str:
    """Return a difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}"


def p_value(p: float) -> str:
    """Return "p<0.001" or "p=0.034"."""
    return "p<0.001" if p < 0.001 else f"p={p:.3f}"


def tested(difference: float | None, p: float | None) -> str:
    """Return a difference with its p; a dash where there is nothing to compare."""
    return "–" if difference is None or p is None else f"{points(difference)} ({p_value(p)})"


def count(number: float | None) -> str:
    """Return a number of things with separators; a dash where it is not known."""
    return "–" if number is None else f"{number:,.0f}"


def size(parameters: int | None) -> str:
    """Return a number of parameters: "135M"; a dash where it is not known."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if parameters and parameters >= unit:
            return f"{parameters / unit:.3g}{letter}"
    return "–" if parameters is None else str(parameters)
