-- Fan-out by reference counting: subscriptions, a tracking row per message and group, and one record
-- per message with the set of groups that must settle it and the set of those that have.
--
-- Lock order, for every function here: completion records; then tracking rows of one group; both in the
-- order of ids, which is that of their indexes, hence no bitmap scans. Nothing keeps a tracking row locked beyond its own statement, so whoever holds records,
-- which other groups need, never waits for long. Claims lock tracking rows alone and skip what is
-- locked.
--
-- The two hot functions, claim and settle, are made per topic. A statement on a partitioned parent
-- locks every leaf of every topic under a generic plan, and planning afresh costs a quarter of a
-- millisecond a call; a function of the topic's own reads the topic's own tables under one plan.
-- Their plans must not depend on statistics, which tables that fill and empty never have right: so
-- sequential scans and the joins that need them are off, rows are found by ctid or by a lateral
-- subquery, and JIT, which the resulting cost estimates would trigger, is off too.

CREATE TABLE fanout.consumer_group_index (
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    group_index smallint NOT NULL
        CONSTRAINT consumer_group_index_range CHECK (group_index BETWEEN 0 AND 4095),
    group_name text COLLATE "C" NOT NULL
        CONSTRAINT consumer_group_index_name_length CHECK (octet_length(group_name) BETWEEN 1 AND 255),
    -- Set with the cancellation of the group's subscription.
    released boolean NOT NULL DEFAULT false,
    -- The sequence's value, read after the cancellation committed: a message above it cannot carry
    -- the bit, so the bit is free once the log is dropped up to it.
    freed_id bigint,
    PRIMARY KEY (topic_id, group_index)
);
CREATE UNIQUE INDEX consumer_group_index_live ON fanout.consumer_group_index (topic_id, group_name)
    WHERE NOT released;

CREATE TABLE fanout.outbox_topic_subscriptions (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    group_name text COLLATE "C" NOT NULL,
    group_index smallint NOT NULL,
    status text NOT NULL CONSTRAINT outbox_topic_subscriptions_status
        CHECK (status IN ('ACTIVE', 'PAUSED', 'CANCELLED', 'DEAD')),
    ordering text NOT NULL CONSTRAINT outbox_topic_subscriptions_ordering
        CHECK (ordering IN ('unordered', 'per-key')),
    on_failure text NOT NULL CONSTRAINT outbox_topic_subscriptions_on_failure
        CHECK (on_failure IN ('park', 'block')),
    lease interval NOT NULL,
    max_attempts int NOT NULL CONSTRAINT outbox_topic_subscriptions_max_attempts CHECK (max_attempts > 0),
    max_stalls int NOT NULL CONSTRAINT outbox_topic_subscriptions_max_stalls CHECK (max_stalls > 0),
    backoff_initial interval NOT NULL,
    backoff_max interval NOT NULL,
    backoff_multiplier float8 NOT NULL,
    backoff_jitter float8 NOT NULL,
    heartbeat_interval interval NOT NULL,
    heartbeat_timeout interval NOT NULL,
    start_position text NOT NULL CONSTRAINT outbox_topic_subscriptions_start_position
        CHECK (start_position IN ('from-now', 'from-beginning', 'from-message', 'from-timestamp')),
    start_id bigint,
    start_at timestamptz,
    subscribed_at timestamptz NOT NULL,
    status_changed_at timestamptz NOT NULL,
    last_heartbeat_at timestamptz NOT NULL,
    -- What the subscription begins after: a message is owed iff this snapshot does not see it.
    start_snapshot pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    -- Publishers that were open when the subscription began may have missed it. They are awaited,
    -- and what they published up to catch_up_to is given to the group afterwards.
    catch_up_to bigint,
    catch_up_publishers text[],
    -- How far the present pass has come.
    catch_up_from bigint NOT NULL DEFAULT 0,
    caught_up boolean NOT NULL DEFAULT false,
    FOREIGN KEY (topic_id, group_index) REFERENCES fanout.consumer_group_index ON DELETE CASCADE
);
CREATE UNIQUE INDEX outbox_topic_subscriptions_live
    ON fanout.outbox_topic_subscriptions (topic_id, group_name) WHERE status <> 'CANCELLED';
CREATE INDEX outbox_topic_subscriptions_history
    ON fanout.outbox_topic_subscriptions (topic_id, group_name, subscription_id);

-- One record per tracked message. Narrow, and with room in each page, so that setting a bit is a
-- heap-only update.
CREATE TABLE fanout.outbox_completions (
    topic_id int NOT NULL,
    id bigint NOT NULL,
    completed_at timestamptz,
    required_consumer_groups smallint
        GENERATED ALWAYS AS (bit_count(required_groups_bitmap)::smallint) STORED,
    completed_consumer_groups smallint
        GENERATED ALWAYS AS (bit_count(completed_groups_bitmap)::smallint) STORED,
    required_groups_bitmap bytea NOT NULL,
    completed_groups_bitmap bytea NOT NULL,
    PRIMARY KEY (topic_id, id)
) PARTITION BY LIST (topic_id);

-- Tracking rows. A row exists exactly while its group still owes a settlement. No index covers a
-- column that changes when a message is leased or released.
CREATE TABLE fanout.outbox_consumer_groups (
    topic_id int NOT NULL,
    group_index smallint NOT NULL,
    lane smallint NOT NULL,
    id bigint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    stalls int NOT NULL DEFAULT 0,
    parked boolean NOT NULL DEFAULT false,
    leased_until timestamptz,
    lease_token bigint,
    available_at timestamptz,
    last_error text,
    PRIMARY KEY (topic_id, group_index, id),
    CONSTRAINT outbox_consumer_groups_parked CHECK (NOT parked OR available_at IS NOT NULL)
) PARTITION BY LIST (topic_id);

-- Parked messages lie anywhere below the ids that a group has settled, so claims do not scan for them.
-- They are few, and failing again is all that moves them here.
CREATE INDEX outbox_consumer_groups_due ON fanout.outbox_consumer_groups
    (topic_id, group_index, available_at) WHERE parked;

-- Tokens of leases: unique for good, so that a stale receipt never fits a later lease.
CREATE SEQUENCE fanout.lease_tokens AS bigint;

-- Settlements made inside callers' transactions: insert-only until folded.
CREATE TABLE fanout.outbox_settlements (
    topic_id int NOT NULL,
    group_index smallint NOT NULL,
    id bigint NOT NULL,
    -- The lane of a message that is read by cursor.
    lane smallint,
    PRIMARY KEY (topic_id, group_index, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_cost_delay = 0);

CREATE TABLE fanout.outbox_dead_letters (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_name text COLLATE "C" NOT NULL,
    topic_id int NOT NULL,
    id bigint NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    attempts int NOT NULL,
    reason text NOT NULL CONSTRAINT outbox_dead_letters_reason
        CHECK (reason IN ('attempts-exhausted', 'poison')),
    last_error text,
    dead_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    key text,
    headers jsonb,
    payload bytea NOT NULL
);
CREATE INDEX outbox_dead_letters_topic ON fanout.outbox_dead_letters (topic_name, dead_letter_id);

-- The built-in subscription of a queue topic, which never dies.
CREATE FUNCTION fanout.create_queue_subscription(topic int, at timestamptz) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fanout.consumer_group_index (topic_id, group_index, group_name) VALUES (topic, 0, 'queue');
    INSERT INTO fanout.outbox_topic_subscriptions
        (topic_id, group_name, group_index, status, ordering, on_failure, lease, max_attempts,
         max_stalls, backoff_initial, backoff_max, backoff_multiplier, backoff_jitter,
         heartbeat_interval, heartbeat_timeout, start_position,
         subscribed_at, status_changed_at, last_heartbeat_at, caught_up)
    SELECT topic, 'queue', 0, 'ACTIVE', 'unordered', 'park', '30 s', 5, 5, '1 s', '5 min', 2, 0.2,
        '30 s', '240 s', 'from-beginning', moment, moment, moment, true
    FROM fanout.time_or_now(at) AS moment
$$;

-- `width` zero bytes.
CREATE FUNCTION fanout.zero_bitmap(width int) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN decode(repeat('00', width), 'hex');

-- Whether a bit is set; bits beyond the width are not.
CREATE FUNCTION fanout.has_bit(bitmap bytea, group_index smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN group_index < 8 * octet_length(bitmap) THEN get_bit(bitmap, group_index) = 1
    ELSE false
END;

-- The bitmap, at least wide enough for a bit.
CREATE FUNCTION fanout.widened(bitmap bytea, group_index smallint) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN bitmap || fanout.zero_bitmap(greatest(0, group_index / 8 + 1 - octet_length(bitmap)));

-- Writes, for every tracked message of an insert, its completion record and the tracking rows of
-- the groups that must settle it. A group that wants order reads by cursor and has neither.
CREATE FUNCTION fanout.outbox_after_insert() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    topic int;
    has_tracked boolean;
    blocks boolean;
    counting int;
    groups smallint[];
    grp smallint;
    required bytea;
BEGIN
    FOR topic, has_tracked IN SELECT i.topic_id, bool_or(i.tracked) FROM inserted i GROUP BY 1 LOOP
        -- Read after the insert took the leaf's lock, so that a deletion of the topic, which takes
        -- it too, is either seen here or sees these messages.
        SELECT block_writes_on_zero_subscriptions INTO blocks
        FROM fanout.outbox_topics WHERE topic_id = topic;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'topic was deleted topic_id=`%`', topic
                USING CONSTRAINT = 'fanout_topic_not_found';
        END IF;

        CONTINUE WHEN NOT has_tracked AND NOT blocks;
        SELECT count(*), array_agg(group_index ORDER BY group_index) FILTER (WHERE ordering = 'unordered')
        INTO counting, groups
        FROM fanout.outbox_topic_subscriptions
        WHERE topic_id = topic AND status IN ('ACTIVE', 'PAUSED');
        IF counting = 0 AND blocks THEN
            RAISE EXCEPTION 'no group is subscribed and the topic blocks writes without one topic=`%`',
                (SELECT name FROM fanout.outbox_topics WHERE topic_id = topic)
                USING CONSTRAINT = 'fanout_no_subscriptions';
        END IF;

        CONTINUE WHEN NOT has_tracked;
        required := fanout.zero_bitmap(coalesce(groups[cardinality(groups)] / 8 + 1, 1));
        FOREACH grp IN ARRAY coalesce(groups, '{}') LOOP
            required := set_bit(required, grp, 1);
        END LOOP;

        INSERT INTO fanout.outbox_completions
            (topic_id, id, required_groups_bitmap, completed_groups_bitmap)
        SELECT topic, id, required, fanout.zero_bitmap(octet_length(required))
        FROM inserted WHERE topic_id = topic AND tracked
        ORDER BY id;

        INSERT INTO fanout.outbox_consumer_groups (topic_id, group_index, lane, id)
        SELECT topic, g, lane, id
        FROM unnest(groups) AS g, inserted
        WHERE topic_id = topic AND tracked
        ORDER BY g, id;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_after_insert AFTER INSERT ON fanout.outbox
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION fanout.outbox_after_insert();

-- Makes the leaf of completion records that goes with a leaf of the log.
CREATE FUNCTION fanout.create_completion_leaf(topic int, first_id bigint, end_id bigint) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning AS $$
DECLARE
    leaf text := format('outbox_completions_%s_%s', topic, first_id);
BEGIN
    EXECUTE format(
        'CREATE TABLE fanout.%1$I (LIKE fanout.outbox_completions INCLUDING DEFAULTS
             INCLUDING CONSTRAINTS INCLUDING GENERATED,
             CONSTRAINT leaf_range CHECK (id >= %2$s AND id < %3$s)) WITH (fillfactor = 25)',
        leaf, first_id, end_id);
    EXECUTE format('ALTER TABLE fanout.%I ATTACH PARTITION fanout.%I FOR VALUES FROM (%s) TO (%s)',
        'outbox_completions_' || topic, leaf, first_id, end_id);
    EXECUTE format('ALTER TABLE fanout.%I DROP CONSTRAINT leaf_range', leaf);
END
$$;

-- Makes the tables and hot functions of a topic's accounting.
CREATE FUNCTION fanout.create_topic_accounting(topic int) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    EXECUTE format('CREATE TABLE fanout.%I (LIKE fanout.outbox_completions INCLUDING DEFAULTS
        INCLUDING CONSTRAINTS INCLUDING GENERATED) PARTITION BY RANGE (id)',
        'outbox_completions_' || topic);
    EXECUTE format('ALTER TABLE fanout.outbox_completions ATTACH PARTITION fanout.%I FOR VALUES IN (%s)',
        'outbox_completions_' || topic, topic);
    -- Rows come and go at the rate of deliveries: vacuum by number, not by share.
    EXECUTE format('CREATE TABLE fanout.%I (LIKE fanout.outbox_consumer_groups INCLUDING DEFAULTS
        INCLUDING CONSTRAINTS) WITH (fillfactor = 35, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)',
        'outbox_consumer_groups_' || topic);
    EXECUTE format('ALTER TABLE fanout.outbox_consumer_groups ATTACH PARTITION fanout.%I FOR VALUES IN (%s)',
        'outbox_consumer_groups_' || topic, topic);
    PERFORM fanout.create_topic_functions(topic);
END
$$;

-- The log knows nothing of the accounting; the accounting follows what is made and dropped there.
INSERT INTO fanout.outbox_storage_parts VALUES ('outbox_completions', 2), ('outbox_consumer_groups', 3);

CREATE FUNCTION fanout.follow_leaf() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fanout.create_completion_leaf(NEW.topic_id, NEW.first_id, NEW.end_id);
    RETURN NULL;
END
$$;

CREATE FUNCTION fanout.follow_storage() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM fanout.create_topic_accounting(NEW.topic_id);
    ELSE
        EXECUTE format('DROP FUNCTION fanout.%I, fanout.%I',
            'claim_' || OLD.topic_id, 'settle_' || OLD.topic_id);
        DELETE FROM fanout.outbox_settlements WHERE topic_id = OLD.topic_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER follow_leaf AFTER INSERT ON fanout.outbox_leaves
    FOR EACH ROW EXECUTE FUNCTION fanout.follow_leaf();
CREATE TRIGGER follow_storage AFTER INSERT OR DELETE ON fanout.outbox_topic_storage
    FOR EACH ROW EXECUTE FUNCTION fanout.follow_storage();

CREATE FUNCTION fanout.create_topic_functions(topic int) RETURNS void
LANGUAGE plpgsql AS $outer$
BEGIN
    -- Leases up to n due messages. One row for each; one row without a message when there is none.
    --
    -- `floor` is an id up to which the group is known to owe nothing, so that the index entries of
    -- rows settled long ago are not walked again. `tracks` tells whether new messages get rows: whoever
    -- reads by rows alone for a while learns from it that the topic's mode has changed.
    EXECUTE format($f$
CREATE OR REPLACE FUNCTION fanout.claim_%1$s(
    subscription bigint, grp smallint, floor bigint, n int, lease interval, at timestamptz
) RETURNS TABLE (
    status text, tracks boolean, unfolded boolean, catching_up boolean, token bigint, until timestamptz,
    id bigint, attempts int, stalls int, created_at timestamptz, key text, headers jsonb, payload bytea
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_sort = off SET jit = off SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET work_mem = '64MB'
AS $$
#variable_conflict use_variable
DECLARE
    moment timestamptz := coalesce(at, clock_timestamp());
    rows tid[];
    ids bigint[];
    lanes smallint[];
    failures int[];
    expired int[];
    low bigint;
    high bigint;
BEGIN
    SELECT s.status, NOT s.caught_up INTO status, catching_up
    FROM fanout.outbox_topic_subscriptions s
    WHERE s.subscription_id = subscription AND s.group_index = grp;
    status := coalesce(status, 'CANCELLED');
    catching_up := coalesce(catching_up, false);
    tracks := coalesce((SELECT p.completion_mode = 'reference-counting' FROM fanout.outbox_topics p
        WHERE p.topic_id = %1$s), true);
    unfolded := EXISTS (
        SELECT FROM fanout.outbox_settlements s
        WHERE s.topic_id = %1$s AND s.group_index = grp AND s.id > floor AND s.lane IS NULL);
    IF status = 'ACTIVE' THEN
        -- Asked again with the rows: the bit may have become another group's since.
        SELECT array_agg(d.ctid), array_agg(d.id), array_agg(d.lane), array_agg(d.attempts),
            array_agg(d.stalls + (d.lease_token IS NOT NULL)::int), min(d.id), max(d.id)
        INTO rows, ids, lanes, failures, expired, low, high
        FROM (
            SELECT * FROM (SELECT t.ctid, t.id, t.lane, t.attempts, t.stalls, t.lease_token
            FROM fanout.outbox_consumer_groups_%1$s t
            WHERE t.topic_id = %1$s AND t.group_index = grp AND t.parked AND t.available_at <= moment
                AND (t.leased_until IS NULL OR t.leased_until <= moment)
                AND (SELECT true FROM fanout.outbox_topic_subscriptions s
                     WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status = 'ACTIVE')
                AND (SELECT true FROM fanout.outbox_settlements s
                     WHERE s.topic_id = %1$s AND s.group_index = grp AND s.id = t.id) IS NULL
            ORDER BY t.available_at
            LIMIT n
            FOR UPDATE OF t SKIP LOCKED) parked
            UNION ALL
            SELECT * FROM (SELECT t.ctid, t.id, t.lane, t.attempts, t.stalls, t.lease_token
            FROM fanout.outbox_consumer_groups_%1$s t
            WHERE t.topic_id = %1$s AND t.group_index = grp AND t.id > floor AND NOT t.parked
                AND (t.leased_until IS NULL OR t.leased_until <= moment)
                AND (SELECT true FROM fanout.outbox_topic_subscriptions s
                     WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status = 'ACTIVE')
                AND (t.available_at IS NULL OR t.available_at <= moment)
                AND (SELECT true FROM fanout.outbox_settlements s
                     WHERE s.topic_id = %1$s AND s.group_index = grp AND s.id = t.id) IS NULL
            ORDER BY t.id
            LIMIT n
            FOR UPDATE OF t SKIP LOCKED) waiting
            LIMIT n
        ) d;
    END IF;
    IF ids IS NULL THEN
        RETURN NEXT;
        RETURN;
    END IF;
    token := nextval('fanout.lease_tokens');
    until := moment + lease;
    -- A token that is still there belonged to a lease that expired.
    UPDATE fanout.outbox_consumer_groups_%1$s t
    SET lease_token = token, leased_until = until, stalls = t.stalls + (t.lease_token IS NOT NULL)::int
    WHERE t.ctid = ANY (rows);
    RETURN QUERY
        SELECT status, tracks, unfolded, catching_up, token, until, d.id, d.attempts, d.stalls,
            m.created_at, m.key, m.headers, m.payload
        FROM unnest(ids, lanes, failures, expired) AS d (id, lane, attempts, stalls)
        CROSS JOIN LATERAL (
            -- The order pins the primary key, which it cannot where the id is known to be equal. A plan
            -- that was made while the log had few rows would read all of a topic for each message.
            SELECT o.created_at, o.key, o.headers, o.payload
            FROM fanout.outbox_%1$s o
            WHERE o.topic_id = %1$s AND o.lane = d.lane AND o.id >= d.id AND o.id <= d.id
                AND o.id BETWEEN low AND high
            ORDER BY o.id
            OFFSET 0
        ) m;
END
$$
$f$, topic);

    -- Settles messages whose lease still carries the token; a NULL token fits every row, leased or
    -- not. `ids` are distinct and ascending.
    --
    -- Without `wait`, messages whose completion record is locked at the moment are left alone and
    -- returned as conflicted; a transaction that held some records and waited for others out of
    -- order could deadlock.
    --
    -- The locking reads name no range of ids: Postgres 18.6 crashes when it re-checks a locked row
    -- under an Append that was pruned at its start.
    EXECUTE format($f$
CREATE OR REPLACE FUNCTION fanout.settle_%1$s(
    subscription bigint, grp smallint, ids bigint[], tokens bigint[], wait boolean, at timestamptz,
    OUT applied bigint[], OUT conflicted bigint[]
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    moment timestamptz := coalesce(at, clock_timestamp());
    low bigint := ids[1];
    high bigint := ids[cardinality(ids)];
    -- Whether a caller's transaction has settled anything that is not folded yet.
    unfolded boolean := EXISTS (
        SELECT FROM fanout.outbox_settlements o
        WHERE o.topic_id = %1$s AND o.group_index = grp AND o.id BETWEEN low AND high);
    records bigint[];
BEGIN
    applied := '{}';
    conflicted := '{}';
    PERFORM FROM fanout.outbox_topic_subscriptions s
    WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status <> 'CANCELLED';
    IF NOT FOUND THEN
        RETURN;
    END IF;

    IF wait THEN
        PERFORM FROM unnest(ids) AS u (id)
        CROSS JOIN LATERAL (
            SELECT c.id FROM fanout.outbox_completions_%1$s c
            WHERE c.topic_id = %1$s AND c.id = u.id
            FOR NO KEY UPDATE
        ) c;
    ELSE
        SELECT coalesce(array_agg(c.id), '{}') INTO records
        FROM unnest(ids) AS u (id)
        CROSS JOIN LATERAL (
            SELECT c.id FROM fanout.outbox_completions_%1$s c
            WHERE c.topic_id = %1$s AND c.id = u.id
            FOR NO KEY UPDATE SKIP LOCKED
        ) c;
        IF cardinality(records) < cardinality(ids) THEN
            -- The rest is locked, or parked, which has no record, or not ours any more.
            SELECT coalesce(array_agg(u.id) FILTER (WHERE NOT t.parked AND u.id <> ALL (records)), '{}'),
                array_agg(u.id) FILTER (WHERE t.parked OR u.id = ANY (records)),
                array_agg(u.token) FILTER (WHERE t.parked OR u.id = ANY (records))
            INTO conflicted, ids, tokens
            FROM unnest(ids, tokens) AS u (id, token)
            CROSS JOIN LATERAL (
                SELECT t.parked FROM fanout.outbox_consumer_groups_%1$s t
                WHERE t.topic_id = %1$s AND t.group_index = grp AND t.id = u.id
                    AND (u.token IS NULL OR t.lease_token = u.token)
                OFFSET 0
            ) t;
        END IF;
    END IF;

    WITH gone AS (
        DELETE FROM fanout.outbox_consumer_groups_%1$s t
        USING (SELECT %1$s AS topic_id, grp AS group_index, v.id, v.token
               FROM unnest(ids, tokens) AS v (id, token) OFFSET 0) u
        WHERE t.topic_id = u.topic_id AND t.group_index = u.group_index AND t.id = u.id
            AND (u.token IS NULL OR t.lease_token = u.token AND (NOT unfolded OR
                (SELECT true FROM fanout.outbox_settlements o
                 WHERE o.topic_id = %1$s AND o.group_index = grp AND o.id = t.id) IS NULL))
        RETURNING t.id, t.parked
    )
    SELECT coalesce(array_agg(gone.id), '{}'), array_agg(gone.id) FILTER (WHERE NOT gone.parked)
    INTO applied, records FROM gone;

    UPDATE fanout.outbox_completions_%1$s c
    SET completed_groups_bitmap = set_bit(c.completed_groups_bitmap, grp, 1),
        completed_at = CASE WHEN set_bit(c.completed_groups_bitmap, grp, 1) = c.required_groups_bitmap
            THEN moment END
    FROM (SELECT %1$s AS topic_id, r AS id FROM unnest(records) AS r OFFSET 0) u
    WHERE c.topic_id = u.topic_id AND c.id = u.id;
END
$$
$f$, topic);
END
$outer$;

-- The functions below are not hot: they are planned afresh for the one topic that they concern, and so
-- touch no other's tables. (In PL/pgSQL: before Postgres 18 a function in SQL is planned without its
-- arguments.) Each treats a message that a caller's transaction has settled as settled. What members ask for
-- changes nothing unless the bit is their subscription's at the moment of the change.

-- Reports failures: the messages are due again after their delays.
CREATE FUNCTION fanout.fail(
    subscription bigint, topic int, grp smallint, ids bigint[], tokens bigint[], delays interval[], errors text[], at timestamptz
) RETURNS TABLE (id bigint, due timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE fanout.outbox_consumer_groups t
    SET attempts = t.attempts + 1, lease_token = NULL, leased_until = NULL,
        available_at = fanout.time_or_now(at) + u.delay, last_error = u.error
    FROM (SELECT * FROM unnest(ids, tokens, delays, errors) AS u (id, token, delay, error) ORDER BY u.id OFFSET 0) u
    WHERE t.topic_id = topic AND t.group_index = grp AND t.id = u.id AND t.lease_token = u.token
        AND EXISTS (
            SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status <> 'CANCELLED')
        AND NOT EXISTS (
            SELECT FROM fanout.outbox_settlements o
            WHERE o.topic_id = topic AND o.group_index = grp AND o.id = u.id)
    RETURNING t.id, t.available_at;
END
$$;

-- Gives messages back as if they had not been fetched.
CREATE FUNCTION fanout.release(subscription bigint, topic int, grp smallint, ids bigint[], tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE fanout.outbox_consumer_groups t
    SET lease_token = NULL, leased_until = NULL
    FROM (SELECT * FROM unnest(ids, tokens) AS u (id, token) ORDER BY u.id OFFSET 0) u
    WHERE t.topic_id = topic AND t.group_index = grp AND t.id = u.id AND t.lease_token = u.token
        AND EXISTS (
            SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status <> 'CANCELLED')
        AND NOT EXISTS (
            SELECT FROM fanout.outbox_settlements o
            WHERE o.topic_id = topic AND o.group_index = grp AND o.id = u.id)
    RETURNING t.id;
END
$$;

-- Moves the end of leases.
CREATE FUNCTION fanout.extend(
    subscription bigint, topic int, grp smallint, ids bigint[], tokens bigint[], lease interval, at timestamptz
) RETURNS TABLE (id bigint, token bigint, until timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    UPDATE fanout.outbox_consumer_groups t
    SET leased_until = fanout.time_or_now(at) + lease
    FROM (SELECT * FROM unnest(ids, tokens) AS u (id, token) ORDER BY u.id OFFSET 0) u
    WHERE t.topic_id = topic AND t.group_index = grp AND t.id = u.id AND t.lease_token = u.token
        AND EXISTS (
            SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.subscription_id = subscription AND s.group_index = grp AND s.status <> 'CANCELLED')
        AND NOT EXISTS (
            SELECT FROM fanout.outbox_settlements o
            WHERE o.topic_id = topic AND o.group_index = grp AND o.id = u.id)
    RETURNING t.id, t.lease_token, t.leased_until;
END
$$;

-- Settles one message as given up, with a copy among the dead letters; tells whether it did.
CREATE FUNCTION fanout.dead_letter(
    subscription bigint, token bigint, message bigint, tries int, why text, error text, at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    s fanout.outbox_topic_subscriptions;
    kept text;
    applied bigint[];
BEGIN
    SELECT * INTO s FROM fanout.outbox_topic_subscriptions WHERE subscription_id = subscription;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT t.last_error INTO kept FROM fanout.outbox_consumer_groups t
    WHERE t.topic_id = s.topic_id AND t.group_index = s.group_index AND t.id = message;
    -- First the settlement, which tells whether the token holds; the copy stands or falls with it.
    EXECUTE format('SELECT applied FROM fanout.settle_%s($1, $2, $3, $4, true, $5)', s.topic_id)
        INTO applied
        USING subscription, s.group_index, ARRAY[message], ARRAY[token], at;
    IF cardinality(applied) = 0 THEN
        RETURN false;
    END IF;
    INSERT INTO fanout.outbox_dead_letters
        (topic_name, topic_id, id, group_name, attempts, reason, last_error, dead_at,
         created_at, key, headers, payload)
    SELECT t.name, t.topic_id, o.id, s.group_name, tries, why, coalesce(error, kept), fanout.time_or_now(at),
        o.created_at, o.key, o.headers, o.payload
    FROM fanout.outbox o JOIN fanout.outbox_topics t USING (topic_id)
    WHERE o.topic_id = s.topic_id AND o.id = message
        AND o.lane IN (SELECT generate_series(0, t.lanes - 1));
    RETURN true;
END
$$;

-- Settles messages inside the caller's transaction.
--
-- Takes no lock that another group or member waits for. The row is inserted before the lease is
-- checked, in a later statement: whoever settled the message before either left a row that conflicts
-- here, or has removed the tracking row by the time of the check.
CREATE FUNCTION fanout.settle_in(subscription bigint, ids bigint[], tokens bigint[]) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    s fanout.outbox_topic_subscriptions;
    valid int;
BEGIN
    SELECT * INTO s FROM fanout.outbox_topic_subscriptions
    WHERE subscription_id = subscription AND status <> 'CANCELLED';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription has ended subscription_id=`%`', subscription
            USING CONSTRAINT = 'fanout_stale_receipt';
    END IF;
    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id)
    SELECT s.topic_id, s.group_index, id FROM unnest(ids) AS id ORDER BY id;
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        SELECT count(*) INTO valid
        FROM unnest(ids, tokens) AS u (id, token)
        JOIN fanout.outbox_consumer_groups t
            ON t.topic_id = s.topic_id AND t.group_index = s.group_index
            AND t.id = u.id AND t.lease_token = u.token;
    ELSE
        -- An older snapshot would show a lease that is gone; locking its row finds that out, as a
        -- serialization failure. The
        -- lock itself is given up at once, with the subtransaction: it would make the group's own
        -- settlements wait, and with them whoever needs the records that those hold.
        BEGIN
            SELECT count(*) INTO valid FROM (
                SELECT FROM unnest(ids, tokens) AS u (id, token)
                JOIN fanout.outbox_consumer_groups t
                    ON t.topic_id = s.topic_id AND t.group_index = s.group_index
                    AND t.id = u.id AND t.lease_token = u.token
                FOR SHARE OF t
            ) locked;
            RAISE EXCEPTION USING ERRCODE = 'FO001';
        EXCEPTION WHEN SQLSTATE 'FO001' THEN NULL;
        END;
    END IF;
    IF valid < cardinality(ids) THEN
        RAISE EXCEPTION 'a receipt is stale: its lease ended, or the message was settled group=`%` receipts=`%` stale=`%`',
            s.group_name, cardinality(ids), cardinality(ids) - valid
            USING CONSTRAINT = 'fanout_stale_receipt';
    END IF;
END
$$;

-- Moves up to n committed settlements of callers' transactions into the accounting; returns how many.
CREATE FUNCTION fanout.fold(topic int, grp smallint, n int, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    live bigint;
    ids bigint[];
BEGIN
    -- Of concurrent folds each takes its own rows.
    SELECT array_agg(f.id) INTO ids FROM (
        SELECT o.id FROM fanout.outbox_settlements o
        WHERE o.topic_id = topic AND o.group_index = grp AND o.lane IS NULL
        ORDER BY o.id LIMIT n FOR UPDATE SKIP LOCKED
    ) f;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    -- A bit may have had another subscription before; what nobody live has settled is void.
    SELECT s.subscription_id INTO live FROM fanout.outbox_topic_subscriptions s
    WHERE s.topic_id = topic AND s.group_index = grp AND s.status <> 'CANCELLED';
    IF FOUND THEN
        EXECUTE format('SELECT FROM fanout.settle_%s($1, $2, $3, NULL, true, $4)', topic)
            USING live, grp, ids, at;
    END IF;
    DELETE FROM fanout.outbox_settlements o
    WHERE o.topic_id = topic AND o.group_index = grp AND o.id = ANY (ids);
    RETURN cardinality(ids);
END
$$;

-- Removes up to n tracking rows of a bit that was freed, and the bit from the records that were not settled
-- for it; returns how many. No row of before lies above the id that the bit was freed at, and none of whoever
-- has it meanwhile lies up to there.
CREATE FUNCTION fanout.reap(topic int, grp smallint, n int, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    moment timestamptz := fanout.time_or_now(at);
    last bigint;
    ids bigint[];
    records bigint[];
BEGIN
    SELECT b.freed_id INTO last FROM fanout.consumer_group_index b
    WHERE b.topic_id = topic AND b.group_index = grp AND b.released;
    SELECT array_agg(t.id) INTO ids FROM (
        SELECT t.id FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = grp AND t.id <= last ORDER BY t.id LIMIT n
    ) t;
    IF ids IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM fanout.outbox_completions c
    WHERE c.topic_id = topic AND c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE;
    WITH gone AS (
        DELETE FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = grp AND t.id = ANY (ids)
        RETURNING t.id, t.parked
    )
    SELECT array_agg(gone.id) FILTER (WHERE NOT gone.parked) INTO records FROM gone;
    UPDATE fanout.outbox_completions c
    SET required_groups_bitmap = set_bit(c.required_groups_bitmap, grp, 0),
        completed_at = CASE WHEN c.completed_groups_bitmap = set_bit(c.required_groups_bitmap, grp, 0)
            THEN moment END
    WHERE c.topic_id = topic AND c.id = ANY (records);
    RETURN cardinality(ids);
END
$$;

-- Those of the awaited publishers that are still open. A prepared transaction that outlived a restart
-- of the server has another name since: such ones are awaited always.
CREATE FUNCTION fanout.still_open(awaited text[], publishers text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT p FROM unnest(publishers) AS p
        WHERE p = ANY (awaited) OR p LIKE '-1/%' AND cardinality(awaited) > 0)
$$;

-- Gives a new subscription up to n of the messages whose publishers did not see it, and tells whether
-- it has all of them.
--
-- Owed is what the subscription's snapshot does not see. A publisher that began its statement before
-- the subscription committed may have missed it; such a publisher held the publish lock when the
-- subscription committed, or had committed. So: list the holders once after the commit, and look
-- after each that ends. None of their ids of that time is above the sequence read before the list.
CREATE FUNCTION fanout.catch_up(subscription bigint, n int, OUT done boolean, OUT added bigint)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    s fanout.outbox_topic_subscriptions;
    open text[];
    missed bigint[];
BEGIN
    done := false;
    added := 0;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'catching up needs a read committed transaction isolation=`%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    SELECT * INTO s FROM fanout.outbox_topic_subscriptions
    WHERE subscription_id = subscription FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF s.caught_up OR s.status = 'CANCELLED' THEN
        done := true;
        RETURN;
    END IF;
    IF s.catch_up_to IS NULL THEN
        s.catch_up_to := fanout.drawn_id(s.topic_id);
        open := fanout.publishers(s.topic_id);
    ELSE
        open := fanout.still_open(s.catch_up_publishers, fanout.publishers(s.topic_id));
        IF cardinality(open) = cardinality(s.catch_up_publishers) AND s.catch_up_from = 0 THEN
            RETURN;
        END IF;
    END IF;

    SELECT array_agg(c.id) INTO missed FROM (
        SELECT c.id
        FROM fanout.outbox o
        JOIN fanout.outbox_completions c ON c.topic_id = o.topic_id AND c.id = o.id
        WHERE o.topic_id = s.topic_id AND o.tracked
            AND o.id > s.catch_up_from AND o.id <= s.catch_up_to
            AND o.tx >= pg_snapshot_xmin(s.start_snapshot)
            AND NOT pg_visible_in_snapshot(o.tx, s.start_snapshot)
            AND c.topic_id = s.topic_id AND c.id > s.catch_up_from AND c.id <= s.catch_up_to
            AND NOT fanout.has_bit(c.required_groups_bitmap, s.group_index)
        ORDER BY c.id
        LIMIT n
        FOR NO KEY UPDATE OF c
    ) c;
    IF missed IS NOT NULL THEN
        INSERT INTO fanout.outbox_consumer_groups (topic_id, group_index, lane, id)
        SELECT o.topic_id, s.group_index, o.lane, o.id
        FROM fanout.outbox o
        WHERE o.topic_id = s.topic_id AND o.id = ANY (missed)
            AND o.lane IN (SELECT generate_series(0, t.lanes - 1) FROM fanout.outbox_topics t WHERE t.topic_id = s.topic_id)
        ORDER BY o.id;
        UPDATE fanout.outbox_completions c
        SET required_groups_bitmap =
                set_bit(fanout.widened(c.required_groups_bitmap, s.group_index), s.group_index, 1),
            completed_groups_bitmap = fanout.widened(c.completed_groups_bitmap, s.group_index),
            completed_at = NULL
        WHERE c.topic_id = s.topic_id AND c.id = ANY (missed);
    END IF;
    added := coalesce(cardinality(missed), 0);
    IF added = n THEN
        -- There may be more. The publishers stay as they were, so that the next pass looks again.
        UPDATE fanout.outbox_topic_subscriptions
        SET catch_up_to = s.catch_up_to, catch_up_from = missed[n],
            catch_up_publishers = coalesce(s.catch_up_publishers, open)
        WHERE subscription_id = subscription;
        RETURN;
    END IF;
    -- A pass that began before the last publisher ended must be followed by another.
    done := cardinality(open) = 0 AND s.catch_up_from = 0;
    UPDATE fanout.outbox_topic_subscriptions
    SET catch_up_to = s.catch_up_to, catch_up_from = 0, caught_up = done,
        catch_up_publishers = CASE WHEN s.catch_up_from = 0 THEN open ELSE '{again}' || open END
    WHERE subscription_id = subscription;
END
$$;

-- One step towards an id up to which every message has committed or rolled back: the sequence, then
-- the publishers that may still bring an id drawn by then, and those of `awaited` that still may. An id
-- counts as drawn for good only when the log is on disk up to `written`: a crash before that takes the
-- sequence back.
CREATE FUNCTION fanout.observe_publishers(
    topic int, awaited text[],
    OUT drawn bigint, OUT publishers text[], OUT remaining text[], OUT written bigint, OUT flushed bigint
)
LANGUAGE plpgsql AS $$
BEGIN
    drawn := fanout.drawn_id(topic);
    written := pg_current_wal_insert_lsn() - '0/0'::pg_lsn;
    publishers := fanout.publishers(topic);
    remaining := fanout.still_open(awaited, publishers);
    flushed := pg_current_wal_flush_lsn() - '0/0'::pg_lsn;
END
$$;

-- The lowest message above `floor` that a group owes.
CREATE FUNCTION fanout.lowest_owed(topic int, grp smallint, floor bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN (
        SELECT t.id FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = grp AND t.id > floor ORDER BY t.id LIMIT 1);
END
$$;

-- Topics that were there before: their accounting, and for queues the built-in subscription, which is
-- owed what nobody has handled yet.
DO $$
DECLARE
    leaf fanout.outbox_leaves;
    t fanout.outbox_topics;
    topic int;
BEGIN
    FOR topic IN SELECT topic_id FROM fanout.outbox_topic_storage ORDER BY 1 LOOP
        PERFORM fanout.create_topic_accounting(topic);
    END LOOP;
    FOR leaf IN SELECT * FROM fanout.outbox_leaves ORDER BY topic_id, first_id LOOP
        PERFORM fanout.create_completion_leaf(leaf.topic_id, leaf.first_id, leaf.end_id);
    END LOOP;
    FOR t IN SELECT * FROM fanout.outbox_topics WHERE semantics = 'queue' ORDER BY topic_id LOOP
        PERFORM fanout.create_queue_subscription(t.topic_id, NULL);
        INSERT INTO fanout.outbox_completions
            (topic_id, id, required_groups_bitmap, completed_groups_bitmap)
        SELECT topic_id, id, '\x01', '\x00' FROM fanout.outbox
        WHERE topic_id = t.topic_id AND id > t.settled_id AND tracked;
        INSERT INTO fanout.outbox_consumer_groups (topic_id, group_index, lane, id)
        SELECT topic_id, 0, lane, id FROM fanout.outbox
        WHERE topic_id = t.topic_id AND id > t.settled_id AND tracked;
    END LOOP;
END
$$;

-- Serialises the changes of a topic's subscriptions until the transaction ends.
CREATE FUNCTION fanout.lock_membership(topic int) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(fanout.publish_lock_class() + 1, topic)
$$;

-- Notes, for each released bit, the highest id that was drawn after the release committed: no later
-- message can carry the bit.
CREATE FUNCTION fanout.free_bits(topic int) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE fanout.consumer_group_index SET freed_id = fanout.drawn_id(topic)
    WHERE topic_id = topic AND released AND freed_id IS NULL
$$;

-- Where every live group of a topic stands: exact counts at one moment.
CREATE FUNCTION fanout.group_stats(topic int, at timestamptz) RETURNS TABLE (
    group_name text, status text, pending bigint, in_flight bigint, delayed bigint,
    lowest_unsettled bigint, oldest_pending_at timestamptz, dead_letters bigint, read_at timestamptz
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.group_name, s.status, owed.pending, owed.in_flight, owed.delayed, owed.lowest,
        (SELECT o.created_at FROM fanout.outbox o
         WHERE o.topic_id = topic AND o.id = owed.lowest AND o.lane = (
             SELECT t.lane FROM fanout.outbox_consumer_groups t
             WHERE t.topic_id = topic AND t.group_index = s.group_index AND t.id = owed.lowest)),
        (SELECT count(*) FROM fanout.outbox_dead_letters d
         WHERE d.topic_name = p.name AND d.group_name = s.group_name AND d.topic_id = p.topic_id),
        moment
    FROM (SELECT fanout.time_or_now(at) AS moment OFFSET 0) AS now
    CROSS JOIN fanout.outbox_topics p
    JOIN fanout.outbox_topic_subscriptions s ON s.topic_id = p.topic_id AND s.status <> 'CANCELLED'
    CROSS JOIN LATERAL (
        SELECT count(*) AS pending,
            count(*) FILTER (WHERE t.leased_until > moment) AS in_flight,
            count(*) FILTER (WHERE t.available_at > moment AND t.leased_until IS NULL) AS delayed,
            min(t.id) AS lowest
        FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = s.group_index
            AND NOT EXISTS (
                SELECT FROM fanout.outbox_settlements f
                WHERE f.topic_id = topic AND f.group_index = s.group_index AND f.id = t.id)
    ) owed
    WHERE p.topic_id = topic
    ORDER BY s.group_name;
END
$$;
