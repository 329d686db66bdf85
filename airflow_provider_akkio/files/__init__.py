"""Files of rows (CSV, JSON Lines, Parquet): validated and read in bounded memory, and written with predictions.

These modules use neither Airflow, except the base classes of the exceptions, nor the network.
"""

MAX_ROW_SIZE = 4 * 1024 * 1024
"""Maximum size of a line in bytes, of a row in characters, and of a batch with several rows in characters."""
