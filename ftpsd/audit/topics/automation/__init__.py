"""Events of what runs without a session: deliveries, workflows, jobs, backups, expectations."""
