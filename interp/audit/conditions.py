"""What threats are called in reports and gates: a norm and an epsilon, "linf:8/255", "l2:0.5"."""

import math

from interp.attack.ball import LEVELS

NORMS = {math.inf: "linf", 2.0: "l2", 1.0: "l1"}
NEAR = 5e-6  # what six digits may be off, as a share; a float32 is nearer
QUARTERS = 4  # of a level


def condition(p: float, epsilon: float) -> str:
    """The name of the ball of radius `epsilon`, above 0 and in pixel units, in the norm p:
    `math.inf`, 2 or 1.

    Args:
        p: the norm, `math.inf`, 2 or 1.
        epsilon: radius in pixel units, above 0.
    """
    return f"{NORMS[p]}:{radius(epsilon)}"


def radius(epsilon: float) -> str:
    """An epsilon in words: "0.5" where three digits say it, else up to 1 "8/255" where it is
    quarters of a level, else six digits.

    The float32 of a number has the name of that number; two epsilons that differ by less than 5e-6
    of their size may share one.
    """
    six = float(f"{epsilon:.6g}")
    short = f"{six:.3g}"
    if math.isclose(float(short), six, rel_tol=NEAR):
        return short
    levels = round(six * LEVELS * QUARTERS) / QUARTERS
    return (
        f"{levels:g}/{LEVELS}"
        if six <= 1 and math.isclose(levels / LEVELS, six, rel_tol=NEAR)
        else f"{six:.6g}"
    )


def parse(name: str) -> tuple[float, float]:
    """(p, epsilon) of a condition's name; the epsilon may be any fraction or decimal number above
    0.

    Raises:
        ValueError: it is no norm, colon and number.
    """
    norm, _, text = name.partition(":")
    above, slash, below = text.partition("/")
    try:
        p = next(p for p, known in NORMS.items() if known == norm)
        epsilon = float(above) / (float(below) if slash else 1.0)
    except (StopIteration, ValueError, ZeroDivisionError):
        epsilon = math.nan
    if not 0 < epsilon < math.inf:
        raise ValueError(
            f"condition: {name!r} is no norm ({', '.join(NORMS.values())}), colon and "
            f"epsilon, like linf:8/255"
        )
    return p, epsilon
