"""What becomes of a training when a part of Airflow, or Akkio, fails in the middle (``make chaos``)."""
