"""What the shared package reads when it is imported."""

import os

os.environ.setdefault("ORDERS_TABLE", "orders")
os.environ.setdefault("AGREEMENTS_TABLE", "agreements")
