"""What the functions share: `payment` has the life of a payment, `alipay` the wire, `rows` the guard of every write."""

import gc


def _collect_as_usual(phase: str, info: dict[str, int]) -> None:
    gc.callbacks.remove(_collect_as_usual)
    gc.set_threshold(10_000)


# Importing some hundred modules makes 70,000 objects and hardly any garbage, but sets off collection after collection
# that looks through all of them: a fifth of a cold start. The first collection comes after that, and then the others
# come more often, lest memory grows.
gc.callbacks.append(_collect_as_usual)
gc.set_threshold(100_000)
