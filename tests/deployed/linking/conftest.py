"""What the tests of linking share."""

import pytest

from tests.kit.links import Links
from tests.kit.stacks import Deployment


@pytest.fixture(scope="session")
def links(fast: Deployment) -> Links:
    return Links(fast)
