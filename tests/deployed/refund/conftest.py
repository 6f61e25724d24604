"""What the tests of refunds share."""

import pytest

from tests.kit.refunding import Refunds
from tests.kit.stacks import Deployment


@pytest.fixture(scope="session")
def refunds(fast: Deployment) -> Refunds:
    return Refunds(fast)
