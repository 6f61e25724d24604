"""The soak: payments and refunds of which every call is faulty with some probability, then the books of both sides."""
