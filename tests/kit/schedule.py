"""The waits between inquiries, in seconds: the template's default."""

from itertools import accumulate

from .template import TEMPLATE

SCHEDULE = tuple(int(wait) for wait in TEMPLATE["Parameters"]["InquirySchedule"]["Default"].split(","))

FIRST_MINUTE = tuple(wait for wait, due in zip(SCHEDULE, accumulate(SCHEDULE), strict=True) if due < 70)
"""Those that lie within the life of an auto debit, or just behind it."""

EARLY_S = 0.1
"""By so much two inquiries may seem closer together than the wait between them: they are timed where they arrive."""
