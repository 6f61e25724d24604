"""What tests share: stacks, the merchant, Alipay, what can be observed, faults, the books. README.md is the map."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
