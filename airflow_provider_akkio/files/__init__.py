"""Files of rows: validated and read in bounded memory, and written with predictions.

The formats are CSV, JSON Lines, JSON, Parquet and Excel. A format's module reads records; all other rules, such as the
selection of columns and the spelling of cells, are the same for every format.

These modules use neither Airflow, except the base classes of the exceptions, nor the network.
"""

MAX_ROW_SIZE = 4 * 1024 * 1024
"""Maximum number of characters of a line, of a row, and of a batch with several rows."""

MAX_FIELDS = 10_000
"""Maximum number of fields of a JSON or JSON Lines file, whose rows may all have different fields."""
