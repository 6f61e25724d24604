"""One linked wallet: the QR code, the exchange of what the buyer's consent brings, and the token in its vault."""
