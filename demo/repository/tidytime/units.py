"""The units of a duration, largest first."""

UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
UNIT_NAMES = {"d": "day", "h": "hour", "m": "minute", "s": "second"}


def unit_text(amount, unit, style):
    """One amount with its unit: `5m` in compact style, `5 minutes` in long style."""
    if style == "compact":
        return f"{amount}{unit}"
    plural = "" if amount == 1 else "s"
    return f"{amount} {UNIT_NAMES[unit]}{plural}"


def unit_of(word):
    """The unit that a word stands for: `min`, `minutes` and `m` are all `m`."""
    lowered = word.lower()
    for unit, name in UNIT_NAMES.items():
        if lowered == unit or name.startswith(lowered) or lowered == name + "s":
            return unit
    return "m" if lowered == "mins" else None
