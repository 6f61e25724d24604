"""The waits between inquiries, in seconds, as README promises them."""

FIRST_MINUTE = (3, 3, 6, 12, 18, 20)
"""Those that lie within the life of an auto debit."""

SCHEDULE = (*FIRST_MINUTE, 120, 600, 600, 3600, 7200, 21600, 54000)
