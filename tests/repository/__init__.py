"""What concerns the repository itself: its documents, its tools, and what is built of it; the same with every Airflow."""
