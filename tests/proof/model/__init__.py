"""The design as a model for SPIN; `python -m tests.proof.model` checks it."""
