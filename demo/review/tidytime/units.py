"""The units of a duration, largest first."""

UNIT_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
UNIT_NAMES = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second"}


def unit_text(amount, unit, style):
    """One amount with its unit: `5m` in compact style, `5 minutes` in long style."""
    if style == "compact":
        return f"{amount}{unit}"
    plural = "" if amount == 1 else "s"
    return f"{amount} {UNIT_NAMES[unit]}{plural}"


def unit_of(word):
    """The unit that a word stands for: `min`, `minutes` and `m` are all `m`."""
    lowered = word.lower()
    singular = lowered[:-1] if len(lowered) > 1 and lowered.endswith("s") else lowered
    for unit, name in UNIT_NAMES.items():
        if name.startswith(singular):
            return unit
    return None
