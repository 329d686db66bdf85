"""Tools of the checkout, no part of the package: a real Airflow on one machine, the demo, the checks."""
