"""What the provider costs, and how fast it notices: measured anew by ``make bench``."""
