"""The pages in Airflow: a training as a tab of its task, and all of them; loaded in the API server alone."""
