"""The live sources of contacts' details: one module each, over Airflow's hooks and connections."""
