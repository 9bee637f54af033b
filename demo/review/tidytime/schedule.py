"""Runs that repeat, in seconds since some start."""

from tidytime.format import format_duration
from tidytime.parse import parse_duration


def next_run(now, every, offset=0.0):
    """The first run after `now`: runs are an interval apart, one of them at `offset`; `every` is seconds or a text."""
    interval = parse_duration(every) if isinstance(every, str) else float(every)
    if interval <= 0:
        raise ValueError("the interval must be longer than zero")
    return (now // interval + 1) * interval + offset


def runs_between(start, end, every, offset=0.0):
    """Every run after `start` and not after `end`, in order."""
    runs = []
    run = next_run(start, every, offset)
    while run <= end:
        runs.append(run)
        run = next_run(run, every, offset)
    return runs


def remaining(now, every, offset=0.0):
    """How long until the next run, as text."""
    return format_duration(next_run(now, every, offset) - now)
