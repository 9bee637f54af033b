"""Durations as people read and write them."""

from tidytime.format import format_duration
from tidytime.parse import DurationError, parse_duration
from tidytime.schedule import next_run, remaining

__all__ = ["DurationError", "format_duration", "next_run", "parse_duration", "remaining"]
