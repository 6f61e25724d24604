"""What the merchant's systems hear of the fast stack."""

import pytest

from tests.kit.bus import Listener
from tests.kit.stacks import Deployment


@pytest.fixture(scope="session")
def shop(fast: Deployment) -> Listener:
    """Hears every event."""
    return fast.shop
