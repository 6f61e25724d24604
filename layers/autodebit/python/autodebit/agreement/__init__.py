"""One linked wallet: the QR code, the exchange of the authCode, and the token in its vault."""
