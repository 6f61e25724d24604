"""AWS on one machine, and a proxy that makes its calls fail."""
