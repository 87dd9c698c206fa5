"""A catch-up under Celery: two queues, a worker that is killed, a team's own DAG beside it."""
