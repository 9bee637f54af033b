"""Runs that repeat, in seconds since some start."""

from tidytime.format import format_duration
from tidytime.parse import parse_duration


def next_run(now, every):
    """The next multiple of the interval after `now`; `every` is a number of seconds or a text such as `15m`."""
    interval = parse_duration(every) if isinstance(every, str) else float(every)
    if interval <= 0:
        raise ValueError("the interval must be longer than zero")
    return (now // interval + 1) * interval


def remaining(now, every):
    """How long until the next run, as text."""
    return format_duration(next_run(now, every) - now)
