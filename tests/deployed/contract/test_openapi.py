"""The running stack answers as docs/openapi.yaml says, to what it allows and to what it forbids."""

from pathlib import Path

from tests.kit.openapi import hold_against
from tests.kit.stacks import Deployment

EXAMPLES = 15
"""Of each kind for each route; `python -m tests.proof.contract` sends thousands."""


def test_every_answer_is_one_that_the_description_has(fast: Deployment, tmp_path: Path) -> None:
    held = hold_against(fast.description["apiUrl"], tmp_path, examples=EXAMPLES, seed=20261126)
    assert held.passed, held.said[-6000:]
    assert held.cases >= 200
    assert {200, 201, 400, 401, 404, 409} <= set(held.statuses)
    assert 500 not in held.statuses
