"""What concerns the repository itself: its documents, its tools, what is built of it; no Airflow changes it."""
