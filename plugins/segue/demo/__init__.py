"""``make demo`` and ``make up``: Segue on a real Airflow with the sample, on this machine."""
