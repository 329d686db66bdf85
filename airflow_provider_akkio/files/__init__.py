"""Files of rows: read and checked in bounded memory, and written again with predictions beside the rows.

Nothing here knows of HTTP, Akkio's API or Airflow, but for the base classes of the exceptions.
"""
