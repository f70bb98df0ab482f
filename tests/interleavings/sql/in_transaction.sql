-- How many connections of a session hold a transaction open.
SELECT count(*) FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.application_name = $1 AND a.state LIKE 'idle in transaction%'
