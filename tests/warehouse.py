"""A SQLite database with the rows of the example DAGs."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from dev.stack import EXAMPLES


def create_warehouse(path: Path) -> str:
    """Create the tables ``leads`` and ``new_leads``, and return a connection to them as JSON.

    :param path: the file to create.
    """
    with closing(sqlite3.connect(path)) as database:
        for table in ("leads", "new_leads"):
            with (EXAMPLES / "rows" / f"{table}.csv").open(newline="") as file:
                fields, *rows = csv.reader(file)
            columns = ", ".join(f'"{field}" TEXT' for field in fields)
            database.execute(f"CREATE TABLE {table} ({columns})")
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(fields))})", rows)
        database.commit()
    return json.dumps({"conn_type": "sqlite", "host": str(path)})
