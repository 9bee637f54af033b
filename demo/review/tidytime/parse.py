"""Durations from text."""

from tidytime.units import UNIT_SECONDS, unit_of


class DurationError(ValueError):
    """The text is not a duration; the message says where it stops being one."""


def parse_duration(text):
    """Seconds of a duration such as `1h 30m`, `90 min` or `-5s`.

    >>> parse_duration("1h 30m")
    5400.0
    """
    body = text.strip()
    sign = 1.0
    if body.startswith("-"):
        sign, body = -1.0, body[1:]
    total = 0.0
    for amount, word in tokens(body):
        unit = unit_of(word)
        if unit is None:
            raise DurationError(f"unknown unit {word!r} in {text!r}")
        total += amount * UNIT_SECONDS[unit]
    return sign * total


def tokens(body):
    """Pairs of number and word, in order; raises DurationError at the first thing that is neither."""
    found = []
    position = 0
    while position < len(body):
        if body[position] in " ,":
            position += 1
            continue
        number_end = span(body, position, "0123456789.")
        word_start = span(body, number_end, " ")
        word_end = word_start
        while word_end < len(body) and body[word_end].isalpha():
            word_end += 1
        if number_end == position or word_end == word_start:
            raise DurationError(f"cannot read {body[position:]!r}")
        found.append((float(body[position:number_end]), body[word_start:word_end]))
        position = word_end
    if not found:
        raise DurationError("the text is empty")
    return found


def span(body, start, alphabet):
    """Position of the first character from `start` on that is not in `alphabet`."""
    return next((at for at in range(start, len(body)) if body[at] not in alphabet), len(body))
