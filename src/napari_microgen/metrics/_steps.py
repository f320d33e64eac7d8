"""Long work as a generator that yields how far it is and returns its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

Result = TypeVar("Result")
Step = tuple[float, str]
"""Share of the work done, 0-1, and what was done last."""


def share(
    steps: Generator[Step, None, Result], start: float, stop: float, prefix: str = ""
) -> Generator[Step, None, Result]:
    """Pass on the progress of a part of the work as a part of the whole."""
    while True:
        try:
            fraction, text = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield start + fraction * (stop - start), prefix + text


def finish(steps: Generator[Any, None, Result]) -> Result:
    """Do all the work and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def telling(
    steps: Generator[Step, None, Result], news: Any
) -> Generator[tuple[float, str, Any], None, Result]:
    """Pass on the progress of some work together with what was found before."""
    while True:
        try:
            fraction, text = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield fraction, text, news
