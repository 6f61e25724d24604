"""The proofs: what is claimed in docs/guarantee.md is shown here; `python -m tests.proof.prove` runs all of it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""
