"""What a bench hands back: values, and the bars that they are held against."""

from typing import NamedTuple


class Figure(NamedTuple):
    """A measured value.

    Attributes:
        at_least, at_most: the bar, where there is one.
        note: anything else that a reader should know.
    """

    value: float
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def bar(self) -> str:
        """The bar in words, "" for none."""
        bounds = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(bounds)

    @property
    def verdict(self) -> str:
        """ "pass" or "miss", "" where there is no bar."""
        if not self.bar:
            return ""
        low = self.at_least is None or self.value >= self.at_least
        return "pass" if low and (self.at_most is None or self.value <= self.at_most) else "miss"


Figures = dict[str, Figure]  # by name
