"""Operators that transfer rows between databases and Akkio."""
