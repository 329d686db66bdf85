"""Benchmarks of the provider: what waiting and moving rows cost, and how soon the end of a training is detected."""
