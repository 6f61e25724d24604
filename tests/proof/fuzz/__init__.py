"""Fuzzing of everything that reads what others wrote; `python -m tests.proof.fuzz` runs it.

The shared package is imported as in a function, without AWS: what it reads at import is made up.
"""

import os
import sys

from tests.proof import ROOT

sys.path.insert(0, str(ROOT / "layers" / "autodebit" / "python"))
os.environ |= {"ORDERS_TABLE": "orders", "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "autodebit"}
