"""Durations as text."""

from tidytime.units import UNIT_SECONDS, unit_text


def format_duration(seconds, style="compact"):
    """Text of a duration in seconds, largest unit first, units of zero left out.

    >>> format_duration(3725)
    '1h 2m 5s'
    """
    parts = []
    for unit, amount in split_duration(seconds):
        if round(amount):
            parts.append(unit_text(round(amount), unit, style))
    return join_parts(parts, style)


def split_duration(seconds):
    """Pairs of unit and amount, largest unit first; what is left over stays in the seconds."""
    pairs = []
    rest = seconds
    for unit, size in UNIT_SECONDS.items():
        if unit == "s":
            pairs.append((unit, rest))
        else:
            amount, rest = divmod(rest, size)
            pairs.append((unit, amount))
    return pairs


def join_parts(parts, style):
    """The parts as one text; nothing at all is zero seconds."""
    if not parts:
        return unit_text(0, "s", style)
    if style != "long":
        return " ".join(parts)
    if len(parts) == 1:
        return parts[0]
    return ", ".join(parts[:-1]) + " and " + parts[-1]
