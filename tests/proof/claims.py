"""What a proof says for itself: a line per claim with its figure, for people and for `make prove`."""

import json
import random
from dataclasses import asdict, dataclass

from tests.proof import ROOT

FIGURES = ROOT / ".local" / "prove"


@dataclass(frozen=True)
class Claim:
    """`figure` is what was found, `bar` what was asked for, both as a reader should see them."""

    name: str
    figure: str
    bar: str
    holds: bool

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'SHORT'}  {self.name}: {self.figure} (asked: {self.bar})"


def a_seed() -> int:
    """A seed by chance, for a proof that was given none; it is printed and stands in the figures."""
    return random.randrange(1_000_000)


def none(name: str, number: int) -> Claim:
    """The claim that there is nothing of this name."""
    return Claim(name, f"{number:,}", "0", number == 0)


def report(proof: str, claims: list[Claim], seconds: float, *, whole: bool = True) -> int:
    """Print the claims, keep them where `make prove` finds them, and return the exit code: 1 if one falls short.

    A run that was not the whole proof is kept beside it.
    """
    for claim in claims:
        print(claim, flush=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    document = {"proof": proof, "seconds": round(seconds, 1), "claims": [asdict(claim) for claim in claims]}
    (FIGURES / f"{proof}{'' if whole else '-part'}.json").write_text(json.dumps(document, indent=2) + "\n")
    return 0 if claims and all(claim.holds for claim in claims) else 1
