"""How ids and times of Python become those of the protocol. What could be read in two ways is
refused."""

from __future__ import annotations

from datetime import date, datetime, time, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo


def zone_of(name: str | tzinfo | None) -> tzinfo | None:
    """A time zone by its name, as "UTC" or "Europe/London"."""
    return ZoneInfo(name) if isinstance(name, str) else name


def identifier(field: str, value: Any) -> str:
    """An id as text: a whole number becomes its decimal digits.

    >>> identifier("user_id", 17850), identifier("user_id", "0017850")
    ('17850', '0017850')

    A column of whole numbers with gaps becomes one of fractions in pandas. Its text would name
    other users than before, so it is refused:

    >>> identifier("user_id", 17850.0)
    Traceback (most recent call last):
    TypeError: user_id must be text or a whole number, was 17850.0 (float): read ids as text
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        kind = type(value).__name__
        raise TypeError(
            f"{field} must be text or a whole number, was {value!r} ({kind}): read ids as text"
        )
    return str(int(value))


def moment(field: str, value: Any, zone: tzinfo | None) -> datetime:
    """A time in UTC. One without a zone is in ``zone``; a date is its midnight there. A time that the
    clocks of the zone show twice, or never, is refused.

    >>> moment("time", datetime(2024, 7, 1, 12), ZoneInfo("Europe/London")).isoformat()
    '2024-07-01T11:00:00+00:00'
    >>> moment("time", datetime(2024, 7, 1, 12), None)
    Traceback (most recent call last):
    ValueError: time has no zone, was 2024-07-01 12:00:00: give the client time_zone="UTC" or another
    >>> moment("time", datetime(2024, 10, 27, 1, 30), ZoneInfo("Europe/London"))
    Traceback (most recent call last):
    ValueError: time is not one time in Europe/London, was 2024-10-27 01:30:00: give it with its zone
    """
    if not isinstance(value, date):
        raise TypeError(f"{field} must be a datetime or a date, was {value!r} ({type(value).__name__})")
    full = value if isinstance(value, datetime) else datetime.combine(value, time())
    if full.tzinfo is None:
        if zone is None:
            raise ValueError(
                f'{field} has no zone, was {value}: give the client time_zone="UTC" or another'
            )
        early, late = (full.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if early.utcoffset() != late.utcoffset():
            raise ValueError(f"{field} is not one time in {zone}, was {value}: give it with its zone")
        full = early
    return full.astimezone(timezone.utc)


def number(field: str, value: Any) -> float:
    """A number.

    >>> number("price", "9,50")
    Traceback (most recent call last):
    TypeError: price must be a number, was '9,50' (str)
    """
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__"):
        raise TypeError(f"{field} must be a number, was {value!r} ({type(value).__name__})")
    return float(value)


def whole(field: str, value: Any) -> int:
    """A whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{field} must be a whole number, was {value!r} ({type(value).__name__})")
    return int(value)
