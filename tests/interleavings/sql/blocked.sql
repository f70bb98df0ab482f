-- Who runs for which session, and who waits for whom.
SELECT a.pid, a.application_name, a.state LIKE 'idle in transaction%',
    CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) ELSE '{}' END
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.application_name <> ''
