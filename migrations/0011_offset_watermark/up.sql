-- Offset/watermark: groups that read the log by cursor, and write nothing per message.
--
-- Ids do not commit in order, so a cursor must not read `id > last`. Instead it moves from tick to
-- tick: a tick is a stored snapshot, and the messages that one tick sees and an earlier one does not
-- are the span between them. Spans partition the log whatever the order of commits, and no open
-- transaction holds a span back.

CREATE TABLE fanout.outbox_ticks (
    topic_id int NOT NULL,
    tick bigint NOT NULL,
    snapshot pg_snapshot NOT NULL,
    -- Cover the ids of the messages that this tick sees and the one before does not.
    id_ranges int8multirange NOT NULL,
    message_count bigint NOT NULL,
    untracked_count bigint NOT NULL,
    -- Every message up to this id had committed or rolled back before the snapshot was taken.
    decided_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (topic_id, tick)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);

CREATE SEQUENCE fanout.ticks AS bigint;
-- An epoch is never used again, whatever group has a bit later.
CREATE SEQUENCE fanout.epochs AS bigint;

-- A cursor per group and lane, for every subscription in either mode: all is settled up to `tick`; of
-- the span from there to `through_tick` (the same tick: no span), what is up to last_id or in
-- settled_ahead. The ranges of settled_ahead may run over ids of other lanes and spans.
CREATE TABLE fanout.outbox_subscription_offsets (
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    group_index smallint NOT NULL,
    lane smallint NOT NULL,
    -- Rise with every change of the lane's owner, and of the cursor: what compare-and-swap compares.
    epoch bigint NOT NULL DEFAULT nextval('fanout.epochs'),
    version bigint NOT NULL DEFAULT 0,
    tick bigint NOT NULL,
    through_tick bigint NOT NULL,
    last_id bigint NOT NULL DEFAULT 0,
    settled_ahead int8multirange NOT NULL DEFAULT '{}',
    -- Messages that failed and block their lane: id to number of failures.
    failures jsonb NOT NULL DEFAULT '{}',
    blocked_until timestamptz,
    -- How often the lane was taken from an owner that vanished, since something was settled.
    stalls int NOT NULL DEFAULT 0,
    -- The message that was in hand alone, in a lane that stalled often.
    trial_id bigint,
    PRIMARY KEY (topic_id, group_index, lane)
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);

-- Who owns a lane until when. Apart from the cursor, so that renewing a lease never waits for it.
CREATE TABLE fanout.outbox_lane_leases (
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    group_index smallint NOT NULL,
    lane smallint NOT NULL,
    owner text COLLATE "C",
    expires_at timestamptz,
    PRIMARY KEY (topic_id, group_index, lane)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

-- The members of a group that read by cursor. What a member may yet move a cursor to lies at or above
-- its oldest_tick. Its row goes only after the epochs of all its lanes have risen, so that until then the
-- ticks which it knows stay.
CREATE TABLE fanout.outbox_group_members (
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    group_index smallint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    name text NOT NULL,
    joined_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    oldest_tick bigint NOT NULL,
    PRIMARY KEY (topic_id, group_index, owner)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

CREATE TABLE fanout.outbox_topic_watermarks (
    topic_id int PRIMARY KEY REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    watermark_id bigint NOT NULL DEFAULT 0,
    decided_id bigint NOT NULL DEFAULT 0,
    -- An id that is decided once these publishers have ended and the log of then is on disk.
    candidate_id bigint,
    candidate_publishers text[],
    candidate_written bigint,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Moves of a group to another position, for operators who ask why something came again or never.
CREATE TABLE fanout.outbox_seeks (
    seek_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic_id int NOT NULL REFERENCES fanout.outbox_topics ON DELETE CASCADE,
    subscription_id bigint NOT NULL,
    group_name text COLLATE "C" NOT NULL,
    position text NOT NULL,
    start_id bigint,
    tick bigint NOT NULL,
    former_group_index smallint NOT NULL,
    group_index smallint NOT NULL,
    sought_at timestamptz NOT NULL
);
CREATE INDEX outbox_seeks_topic ON fanout.outbox_seeks (topic_id, seek_id);

-- A subscription is owed what lies at or above owed_from_id (NULL: nothing), and what start_snapshot,
-- that of start_tick, does not see. Both are those of the last seek, where there was one.
ALTER TABLE fanout.outbox_topic_subscriptions
    ADD COLUMN owed_from_id bigint,
    ADD COLUMN start_tick bigint NOT NULL DEFAULT 0,
    -- Up to here all was decided when the subscription began, so one pass of catching up is enough.
    ADD COLUMN start_decided_id bigint NOT NULL DEFAULT 0;

-- A message is tracked when its topic counts references and its publisher sees every subscription that
-- committed before: under an older snapshot it could miss one. Cursors need no such care.
CREATE OR REPLACE FUNCTION fanout.is_tracked(topic int, mode text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('read committed', 'read uncommitted') THEN
        RETURN mode = 'reference-counting';
    END IF;
    -- The topic as an older snapshot shows it may be gone; locking its row finds that out, as a
    -- serialization failure.
    PERFORM FROM fanout.outbox_topics WHERE topic_id = topic FOR KEY SHARE;
    RETURN false;
END
$$;

-- Serialises ticks of a topic, until the transaction ends.
CREATE FUNCTION fanout.tick_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN fanout.publish_lock_class() + 2;

-- Held shared by whoever may come to stand at a tick, and exclusively by whoever removes ticks.
CREATE FUNCTION fanout.merge_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN fanout.publish_lock_class() + 3;

-- Makes what a topic's cursors need.
CREATE FUNCTION fanout.create_topic_ticks(topic int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Sees nothing: where a cursor stands that is owed the whole log.
    INSERT INTO fanout.outbox_ticks VALUES (topic, 0, '1:1:', '{}', 0, 0, 0, clock_timestamp());
    PERFORM fanout.create_topic_cursor_functions(topic);
END
$$;

CREATE FUNCTION fanout.follow_storage_ticks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM fanout.create_topic_ticks(NEW.topic_id);
    ELSE
        EXECUTE format('DROP FUNCTION fanout.%I, fanout.%I, fanout.%I',
            'tick_' || OLD.topic_id, 'look_' || OLD.topic_id, 'read_' || OLD.topic_id);
        DELETE FROM fanout.outbox_ticks WHERE topic_id = OLD.topic_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER follow_storage_ticks AFTER INSERT OR DELETE ON fanout.outbox_topic_storage
    FOR EACH ROW EXECUTE FUNCTION fanout.follow_storage_ticks();

CREATE FUNCTION fanout.follow_topic() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fanout.outbox_topic_watermarks (topic_id, updated_at)
    VALUES (NEW.topic_id, NEW.created_at);
    RETURN NULL;
END
$$;
CREATE TRIGGER follow_topic AFTER INSERT ON fanout.outbox_topics
    FOR EACH ROW EXECUTE FUNCTION fanout.follow_topic();

-- The hot functions of a topic, as in the migration before: its own tables, plans that do not depend on
-- statistics.
CREATE FUNCTION fanout.create_topic_cursor_functions(topic int) RETURNS void
LANGUAGE plpgsql AS $outer$
BEGIN
    -- Takes a tick, unless another session does, nothing is new, or the newest is younger than `pace`;
    -- with `wait`, it waits for the other session, whatever the age. Tells the newest tick, and an id up to
    -- which all was decided before what that tick sees: when nothing is new, that is what is seen now.
    --
    -- The lock and the snapshot are taken by different statements: a snapshot from before the lock could
    -- be older than the newest tick's. The snapshot is that of the INSERT, which has no transaction id
    -- when it takes it, so the rows of this very transaction are none of its business.
    EXECUTE format($f$
CREATE OR REPLACE FUNCTION fanout.tick_%1$s(
    wait boolean, pace interval, OUT taken boolean, OUT newest bigint, OUT snapshot text,
    OUT decided bigint
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    prev fanout.outbox_ticks;
    now pg_snapshot;
    age interval;
    in_progress xid8[];
BEGIN
    taken := false;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'ticks need a read committed transaction isolation=`%%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    SELECT * INTO prev FROM fanout.outbox_ticks t
    WHERE t.topic_id = %1$s ORDER BY t.tick DESC LIMIT 1;
    newest := prev.tick;
    snapshot := prev.snapshot;
    -- On a standby the snapshot lists nobody as in progress; within a transaction that has written, its
    -- own rows would count as visible.
    IF newest IS NULL OR pg_is_in_recovery() OR pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RETURN;
    END IF;
    IF wait THEN
        PERFORM pg_advisory_xact_lock(fanout.tick_lock_class(), %1$s);
    ELSE
        -- A clock that stepped back must not stop ticks.
        age := clock_timestamp() - prev.created_at;
        IF age >= interval '0' AND age < pace
            OR NOT pg_try_advisory_xact_lock(fanout.tick_lock_class(), %1$s)
        THEN
            RETURN;
        END IF;
    END IF;
    SELECT * INTO prev FROM fanout.outbox_ticks t
    WHERE t.topic_id = %1$s ORDER BY t.tick DESC LIMIT 1;
    now := pg_current_snapshot();
    IF pg_snapshot_xmax(prev.snapshot) > pg_snapshot_xmax(now)
        OR pg_snapshot_xmin(prev.snapshot) > pg_snapshot_xmin(now)
    THEN
        RAISE EXCEPTION 'the newest tick lies in the future of this server, the database was restored from a dump tick=`%%` snapshot=`%%` now=`%%`',
            prev.tick, prev.snapshot, now
            USING CONSTRAINT = 'fanout_needs_rebase';
    END IF;
    in_progress := ARRAY(SELECT pg_snapshot_xip(prev.snapshot));
    SELECT greatest(w.decided_id, prev.decided_id) INTO decided
    FROM fanout.outbox_topic_watermarks w WHERE w.topic_id = %1$s;
    -- A tick that a crash takes back was no cursor's: whatever commits later is on disk later. Not in a
    -- transaction of somebody's, who may go on to write.
    IF statement_timestamp() = transaction_timestamp() THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    WITH fresh AS MATERIALIZED (
        -- The order pins the index on tx.
        (SELECT o.id, o.tracked FROM fanout.outbox_%1$s o
        WHERE o.topic_id = %1$s AND o.id > prev.decided_id AND o.tx >= pg_snapshot_xmax(prev.snapshot)
        ORDER BY o.tx)
        UNION ALL
        SELECT o.id, o.tracked FROM unnest(in_progress) AS open (tx)
        CROSS JOIN LATERAL (
            SELECT o.id, o.tracked FROM fanout.outbox_%1$s o
            WHERE o.topic_id = %1$s AND o.id > prev.decided_id AND o.tx >= open.tx AND o.tx <= open.tx
            ORDER BY o.tx
        ) o
    ), total AS (
        SELECT count(*) AS messages, count(*) FILTER (WHERE NOT f.tracked) AS untracked,
            min(f.id) AS low, max(f.id) AS high
        FROM fresh f
    )
    INSERT INTO fanout.outbox_ticks (topic_id, tick, snapshot, id_ranges, message_count,
        untracked_count, decided_id, created_at)
    SELECT %1$s, nextval('fanout.ticks'), pg_current_snapshot(),
        CASE WHEN t.high - t.low < t.messages + t.messages / 8
            THEN int8multirange(int8range(t.low, t.high + 1))
            ELSE fanout.at_most_16_ranges((SELECT range_agg(int8range(f.id, f.id + 1)) FROM fresh f))
        END,
        t.messages, t.untracked, decided, clock_timestamp()
    FROM total t
    WHERE t.messages > 0
    RETURNING outbox_ticks.tick, outbox_ticks.snapshot INTO newest, snapshot;
    taken := FOUND;
    IF NOT taken THEN
        newest := prev.tick;
        snapshot := prev.snapshot;
    END IF;
END
$$
$f$, topic);

    -- What members of groups need to know before they deliver: one row per subscription.
    EXECUTE format($f$
CREATE OR REPLACE FUNCTION fanout.look_%1$s(
    subscriptions bigint[], floors bigint[], at timestamptz
) RETURNS TABLE (
    moment timestamptz, server timestamptz, newest bigint, snapshot text, tracks boolean, status text,
    group_index smallint, caught_up boolean, tracked boolean, folding boolean, lanes_folding boolean,
    members int, free_lanes int
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    moment timestamptz := coalesce(at, clock_timestamp());
    newest bigint;
    snapshot text;
    tracks boolean;
BEGIN
    SELECT k.tick, k.snapshot INTO newest, snapshot FROM fanout.outbox_ticks k
    WHERE k.topic_id = %1$s ORDER BY k.tick DESC LIMIT 1;
    SELECT p.completion_mode = 'reference-counting' INTO tracks FROM fanout.outbox_topics p
    WHERE p.topic_id = %1$s;
    RETURN QUERY
    SELECT moment, pg_postmaster_start_time(), newest, snapshot, tracks, coalesce(s.status, 'CANCELLED'),
        coalesce(s.group_index, -1::smallint), coalesce(s.caught_up, true),
        EXISTS (SELECT FROM fanout.outbox_consumer_groups_%1$s t
            WHERE t.topic_id = %1$s AND t.group_index = s.group_index AND t.parked
                AND t.available_at <= moment)
        OR EXISTS (SELECT FROM fanout.outbox_consumer_groups_%1$s t
            WHERE t.topic_id = %1$s AND t.group_index = s.group_index AND t.id > u.floor AND NOT t.parked),
        EXISTS (SELECT FROM fanout.outbox_settlements f
            WHERE f.topic_id = %1$s AND f.group_index = s.group_index AND f.lane IS NULL),
        EXISTS (SELECT FROM fanout.outbox_settlements f
            WHERE f.topic_id = %1$s AND f.group_index = s.group_index AND f.lane IS NOT NULL),
        (SELECT count(*)::int FROM fanout.outbox_group_members m
            WHERE m.topic_id = %1$s AND m.group_index = s.group_index AND m.expires_at > moment),
        (SELECT count(*)::int FROM fanout.outbox_lane_leases l
            WHERE l.topic_id = %1$s AND l.group_index = s.group_index
                AND (l.owner IS NULL OR l.expires_at <= moment))
    FROM unnest(subscriptions, floors) AS u (subscription, floor)
    LEFT JOIN LATERAL (
        SELECT s.status, s.group_index, s.caught_up FROM fanout.outbox_topic_subscriptions s
        WHERE s.subscription_id = u.subscription
        OFFSET 0
    ) s ON true;
END
$$
$f$, topic);

    -- Up to n messages of each lane above an id, ascending within the lane, of the span from one tick
    -- to another. The first row is empty: no row at all tells that the later tick is gone.
    -- The earlier one may be gone: what it covered belongs to a later one since. With memory for the answer,
    -- which would go through a file otherwise.
    EXECUTE format($f$
CREATE OR REPLACE FUNCTION fanout.read_%1$s(
    from_tick bigint, from_snapshot text, through bigint, lanes smallint[], afters bigint[], n int, untracked boolean
) RETURNS TABLE (
    lane smallint, id bigint, tx bigint, created_at timestamptz, key text,
    headers jsonb, payload bytea
)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_sort = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
    a pg_snapshot := from_snapshot;
    b pg_snapshot;
    old xid8;
    messages bigint;
    wanted bigint;
    ranges int8multirange;
    width bigint;
    low bigint;
    high bigint;
    in_progress xid8[];
BEGIN
    SELECT k.snapshot INTO b FROM fanout.outbox_ticks k WHERE k.topic_id = %1$s AND k.tick = through;
    IF b IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT NULL::smallint, NULL::bigint, NULL::bigint, NULL::timestamptz,
        NULL::text, NULL::jsonb, NULL::bytea;
    SELECT coalesce(sum(k.message_count), 0), coalesce(sum(k.untracked_count), 0), range_agg(k.id_ranges)
    INTO messages, wanted, ranges
    FROM (SELECT k.message_count, k.untracked_count, k.id_ranges FROM fanout.outbox_ticks k
        WHERE k.topic_id = %1$s AND k.tick > from_tick AND k.tick <= through OFFSET 0) k;
    IF (CASE WHEN untracked THEN wanted ELSE messages END) = 0 THEN
        RETURN;
    END IF;
    old := pg_snapshot_xmin(a);
    low := lower(ranges);
    high := upper(ranges);
    width := (SELECT sum(upper(r) - lower(r)) FROM unnest(ranges) AS r);
    IF messages <= 2 * n * cardinality(lanes)
        AND width * cardinality(lanes) > messages * (
            SELECT t.lanes FROM fanout.outbox_topics t WHERE t.topic_id = %1$s)
    THEN
        -- Few messages, scattered among those of other spans: by transaction.
        in_progress := ARRAY(SELECT pg_snapshot_xip(a));
        RETURN QUERY
        SELECT f.lane, f.id, f.tx::text::bigint, f.created_at, f.key, f.headers, f.payload
        FROM (
            (SELECT o.lane, o.id, o.tx, o.tracked, o.created_at, o.key, o.headers, o.payload
            FROM fanout.outbox_%1$s o
            WHERE o.topic_id = %1$s AND o.id >= low AND o.id < high
                AND o.tx >= pg_snapshot_xmax(a) AND o.tx < pg_snapshot_xmax(b)
            ORDER BY o.tx)
            UNION ALL
            SELECT o.lane, o.id, o.tx, o.tracked, o.created_at, o.key, o.headers, o.payload
            FROM unnest(in_progress) AS open (tx)
            CROSS JOIN LATERAL (
                SELECT o.lane, o.id, o.tx, o.tracked, o.created_at, o.key, o.headers, o.payload
                FROM fanout.outbox_%1$s o
                WHERE o.topic_id = %1$s AND o.id >= low AND o.id < high
                    AND o.tx >= open.tx AND o.tx <= open.tx
                ORDER BY o.tx
            ) o
        ) f
        JOIN (SELECT * FROM unnest(lanes, afters) OFFSET 0) AS l (lane, after)
            ON l.lane = f.lane AND f.id > l.after
        WHERE pg_visible_in_snapshot(f.tx, b) AND NOT (untracked AND f.tracked)
        ORDER BY f.lane, f.id;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT l.lane, m.id, m.tx::text::bigint, m.created_at, m.key, m.headers, m.payload
    FROM unnest(lanes, afters) AS l (lane, after)
    CROSS JOIN LATERAL (
        SELECT o.id, o.tx, o.created_at, o.key, o.headers, o.payload
        FROM unnest(ranges) AS r
        CROSS JOIN LATERAL (
            SELECT o.id, o.tx, o.created_at, o.key, o.headers, o.payload
            FROM fanout.outbox_%1$s o
            WHERE o.topic_id = %1$s AND o.lane = l.lane
                AND o.id > greatest(l.after, lower(r) - 1) AND o.id < upper(r)
                AND o.tx >= old AND pg_visible_in_snapshot(o.tx, b) AND NOT pg_visible_in_snapshot(o.tx, a)
                AND NOT (untracked AND o.tracked)
            ORDER BY o.id
            LIMIT n
        ) o
        WHERE upper(r) > l.after
        LIMIT n
    ) m;
END
$$
$f$, topic);
END
$outer$;

-- Removes what is left of members that vanished. One that comes back at this moment stays: two that came
-- back together, each removing the other, would wait for each other.
CREATE FUNCTION fanout.forget_members(topic int, grp smallint, moment timestamptz) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
BEGIN
    DELETE FROM fanout.outbox_group_members m
    WHERE m.topic_id = topic AND m.group_index = grp AND m.owner = ANY (ARRAY(
        SELECT x.owner FROM fanout.outbox_group_members x
        WHERE x.topic_id = topic AND x.group_index = grp AND x.expires_at <= moment
            AND NOT EXISTS (SELECT FROM fanout.outbox_lane_leases l
                WHERE l.topic_id = topic AND l.group_index = grp AND l.owner = x.owner)
        FOR UPDATE SKIP LOCKED));
END
$$;

-- Removes members of bits that no subscription has any more: one that asked for lanes while a seek or a cancellation
-- was under way came in after it had removed the others, and would keep ticks for good.
CREATE FUNCTION fanout.forget_strays(topic int) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
BEGIN
    -- As above: two that do this at once must not wait for each other.
    DELETE FROM fanout.outbox_group_members m
    WHERE m.topic_id = topic AND m.owner = ANY (ARRAY(
        SELECT x.owner FROM fanout.outbox_group_members x
        WHERE x.topic_id = topic AND NOT EXISTS (
            SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.topic_id = topic AND s.group_index = x.group_index AND s.status <> 'CANCELLED')
        FOR UPDATE SKIP LOCKED));
END
$$;

-- Keeps a member's lanes, gives some up, and takes free ones up to its fair share; returns the lanes
-- that it owns then, each with its cursor, or one row without a lane.
--
-- A lane is free when nobody owns it, or its lease has ended. Taking one raises its epoch, so that
-- commits of its former owner are fenced. Every live member may own lanes / members of them, and the
-- first few one more: the shares add up to all lanes.
CREATE FUNCTION fanout.hold_lanes(
    subscription bigint, grp smallint, me text, my_name text, term interval, give smallint[],
    standing bigint, leaving boolean, at timestamptz
) RETURNS TABLE (
    moment timestamptz, alive boolean, members int, share int, oldest_tick bigint, lane smallint,
    epoch bigint, version bigint, tick bigint, snapshot text, through_tick bigint, through_snapshot text,
    last_id bigint, settled_ahead text, failures text, blocked_until timestamptz, stalls int,
    trial_id bigint, expires_at timestamptz
)
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := coalesce(at, clock_timestamp());
    s fanout.outbox_topic_subscriptions;
    members int;
    rank int;
    lanes int;
    share int;
    wanting int;
    oldest bigint;
    mine smallint[];
    given smallint[];
    taken smallint[];
    lost smallint[];
BEGIN
    SELECT * INTO s FROM fanout.outbox_topic_subscriptions x WHERE x.subscription_id = subscription;
    IF NOT FOUND OR s.status = 'CANCELLED' OR s.group_index <> grp THEN
        RETURN QUERY SELECT moment, false, 0, 0, 0::bigint, NULL::smallint, NULL::bigint, NULL::bigint,
            NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::text,
            NULL::timestamptz, NULL::int, NULL::bigint, NULL::timestamptz;
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(fanout.merge_lock_class(), s.topic_id);
    -- Leases before cursors, each in order of lanes, as everywhere: nobody waits for one that waits for him.
    SELECT coalesce(array_agg(l.lane), '{}'),
        coalesce(array_agg(l.lane) FILTER (WHERE leaving OR l.lane = ANY (give)), '{}')
    INTO mine, given
    FROM (
        SELECT l.lane FROM fanout.outbox_lane_leases l
        WHERE l.topic_id = s.topic_id AND l.group_index = grp AND l.owner = me
        ORDER BY l.lane FOR UPDATE
    ) l;
    UPDATE fanout.outbox_lane_leases l
    SET owner = CASE WHEN l.lane <> ALL (given) THEN me END,
        expires_at = CASE WHEN l.lane <> ALL (given) THEN greatest(l.expires_at, moment + term) END
    WHERE l.topic_id = s.topic_id AND l.group_index = grp AND l.lane = ANY (mine);
    IF NOT leaving THEN
        SELECT count(*) + 1, count(*) FILTER (WHERE m.owner < me) INTO members, rank
        FROM fanout.outbox_group_members m
        WHERE m.topic_id = s.topic_id AND m.group_index = grp AND m.owner <> me AND m.expires_at > moment;
        SELECT t.lanes INTO lanes FROM fanout.outbox_topics t WHERE t.topic_id = s.topic_id;
        share := lanes / members + (rank < lanes % members)::int;
        wanting := share - cardinality(mine) + cardinality(given);
        SELECT array_agg(l.lane), array_agg(l.lane) FILTER (WHERE l.owner IS NOT NULL) INTO taken, lost
        FROM (
            SELECT l.lane, l.owner FROM fanout.outbox_lane_leases l
            WHERE l.topic_id = s.topic_id AND l.group_index = grp AND wanting > 0
                -- With the lanes, and not before: the bit may have become another group's since.
                AND EXISTS (SELECT FROM fanout.outbox_topic_subscriptions x WHERE x.subscription_id = subscription
                    AND x.group_index = grp AND x.status <> 'CANCELLED')
                AND (l.owner IS NULL OR l.expires_at <= moment) AND l.owner IS DISTINCT FROM me
            ORDER BY l.lane
            LIMIT greatest(wanting, 0)
            FOR UPDATE SKIP LOCKED
        ) l;
        UPDATE fanout.outbox_lane_leases l SET owner = me, expires_at = moment + term
        WHERE l.topic_id = s.topic_id AND l.group_index = grp AND l.lane = ANY (taken);
    END IF;
    -- With a lane goes its epoch, so that no late commit of who had it moves its cursor.
    PERFORM FROM fanout.outbox_subscription_offsets o
    WHERE o.topic_id = s.topic_id AND o.group_index = grp AND o.lane = ANY (given || taken)
    ORDER BY o.lane FOR NO KEY UPDATE;
    UPDATE fanout.outbox_subscription_offsets o
    SET epoch = nextval('fanout.epochs'), version = o.version + 1,
        stalls = o.stalls + coalesce(o.lane = ANY (lost), false)::int
    WHERE o.topic_id = s.topic_id AND o.group_index = grp AND o.lane = ANY (given || taken);
    IF leaving THEN
        DELETE FROM fanout.outbox_group_members m
        WHERE m.topic_id = s.topic_id AND m.group_index = grp AND m.owner = me;
        RETURN;
    END IF;
    -- Leases first, then members, as everywhere. Of one that was forgotten ticks may have gone meanwhile, whatever
    -- it still knows: those from the newest on stay. It may not have heard that, so it can only go up.
    INSERT INTO fanout.outbox_group_members AS m
        (topic_id, group_index, owner, name, joined_at, expires_at, oldest_tick)
    SELECT s.topic_id, grp, me, my_name, moment, moment + term,
        (SELECT k.tick FROM fanout.outbox_ticks k WHERE k.topic_id = s.topic_id ORDER BY k.tick DESC LIMIT 1)
    WHERE EXISTS (SELECT FROM fanout.outbox_topic_subscriptions x WHERE x.subscription_id = subscription
        AND x.group_index = grp AND x.status <> 'CANCELLED')
    ON CONFLICT (topic_id, group_index, owner) DO UPDATE
    SET name = excluded.name, expires_at = excluded.expires_at,
        oldest_tick = greatest(m.oldest_tick, least(standing, excluded.oldest_tick))
    RETURNING m.oldest_tick INTO oldest;
    alive := FOUND;
    PERFORM fanout.forget_members(s.topic_id, grp, moment);

    RETURN QUERY
    SELECT moment, alive, members, share, coalesce(oldest, 0), l.lane, o.epoch, o.version, o.tick, a.snapshot::text,
        o.through_tick, b.snapshot::text, o.last_id, o.settled_ahead::text, o.failures::text,
        o.blocked_until, o.stalls, o.trial_id, l.expires_at
    FROM (SELECT) AS one
    LEFT JOIN (fanout.outbox_lane_leases l
        JOIN fanout.outbox_subscription_offsets o
            ON o.topic_id = l.topic_id AND o.group_index = l.group_index AND o.lane = l.lane
        JOIN fanout.outbox_ticks a ON a.topic_id = o.topic_id AND a.tick = o.tick
        JOIN fanout.outbox_ticks b ON b.topic_id = o.topic_id AND b.tick = o.through_tick)
    ON l.topic_id = s.topic_id AND l.group_index = grp AND l.owner = me
    ORDER BY l.lane;
END
$$;

-- Moves the ends of lanes' leases out to when a delivery is extended to; returns the lanes that the member
-- still owns, and one row without a lane.
CREATE FUNCTION fanout.extend_lanes(
    topic int, grp smallint, me text, wanted smallint[], by interval, at timestamptz
) RETURNS TABLE (moment timestamptz, lane smallint)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := fanout.time_or_now(at);
BEGIN
    RETURN QUERY SELECT moment, NULL::smallint;
    RETURN QUERY
    UPDATE fanout.outbox_lane_leases l SET expires_at = greatest(l.expires_at, moment + by)
    WHERE l.topic_id = topic AND l.group_index = grp AND l.owner = me AND l.lane = ANY (wanted)
    RETURNING moment, l.lane;
END
$$;

-- Commits cursors of a topic by compare-and-swap, all groups' in one statement; returns which of them were
-- as expected and hence have moved, in order. They come in order of group and lane.
--
-- A lane stays where a caller's transaction has settled a message that the committer does not know of: it
-- might settle the message a second time.
--
-- In the same transaction, for cursors that moved: failed messages are parked or buried, and settlements
-- of callers' transactions that the cursor now covers are removed. What goes with a cursor names it by its
-- place: a lane may come twice, once by a former owner, whose part must change nothing.
CREATE FUNCTION fanout.commit_cursors(
    topic int, groups smallint[], lanes smallint[], epochs bigint[], versions bigint[],
    from_ticks bigint[], through_ticks bigint[], last_ids bigint[], aheads text[], failed text[],
    blocked timestamptz[], block_for interval[], trials bigint[], progressed boolean[],
    servers timestamptz[],
    park_places int[], park_ids bigint[], park_attempts int[], park_delays interval[], park_errors text[],
    dead_places int[], dead_ids bigint[], dead_attempts int[], dead_reasons text[], dead_errors text[],
    fold_places int[], fold_ids bigint[], known_places int[], known_ids bigint[],
    at timestamptz
) RETURNS TABLE (moment timestamptz, moved boolean[])
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    moment := coalesce(at, clock_timestamp());
    WITH changed AS (
        UPDATE fanout.outbox_subscription_offsets o
        SET tick = u.tick, through_tick = u.through_tick, last_id = u.last_id,
            settled_ahead = u.ahead::int8multirange, failures = u.failed::jsonb,
            blocked_until = greatest(u.blocked, moment + u.block_for), trial_id = u.trial,
            stalls = CASE WHEN u.progressed THEN 0 ELSE o.stalls END, version = o.version + 1
        FROM (SELECT topic AS topic_id, u.* FROM unnest(groups, lanes, epochs, versions, from_ticks,
                through_ticks, last_ids, aheads, failed, blocked, block_for, trials, progressed, servers)
            WITH ORDINALITY AS u (group_index, lane, epoch, version, tick, through_tick, last_id, ahead,
                failed, blocked, block_for, trial, progressed, server, place)
            OFFSET 0) u
        WHERE o.topic_id = u.topic_id AND o.group_index = u.group_index AND o.lane = u.lane
            AND o.epoch = u.epoch AND o.version = u.version
            -- A crash may have taken the committer's ticks back.
            AND u.server = pg_postmaster_start_time()
            AND NOT EXISTS (SELECT FROM fanout.outbox_settlements f
                WHERE f.topic_id = u.topic_id AND f.group_index = u.group_index AND f.lane = u.lane
                    AND NOT EXISTS (SELECT FROM unnest(known_places, known_ids) AS k (place, id)
                        WHERE k.place = u.place AND k.id = f.id))
        RETURNING u.place
    )
    SELECT coalesce(array_agg(c.place), '{}') INTO done FROM changed c;
    moved := ARRAY(SELECT p = ANY (done) FROM generate_series(1, cardinality(lanes)) AS p ORDER BY p);
    IF cardinality(park_ids) > 0 THEN
        PERFORM fanout.park(topic, groups, lanes, moved, park_places, park_ids, park_attempts, park_delays,
            park_errors, moment);
    END IF;
    IF cardinality(dead_ids) > 0 THEN
        PERFORM fanout.bury(topic, groups, lanes, moved, dead_places, dead_ids, dead_attempts, dead_reasons,
            dead_errors, moment);
    END IF;
    IF cardinality(fold_ids) > 0 THEN
        PERFORM fanout.forget_settled(topic, groups, lanes, moved, fold_places, fold_ids);
    END IF;
    RETURN NEXT;
END
$$;

-- Gives messages that a cursor has passed tracking rows of their own.
CREATE FUNCTION fanout.park(
    topic int, groups smallint[], lanes smallint[], moved boolean[], places int[], ids bigint[],
    attempts int[], delays interval[], errors text[], moment timestamptz
) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO fanout.outbox_consumer_groups AS t
        (topic_id, group_index, lane, id, attempts, parked, available_at, last_error)
    SELECT topic, groups[u.place], lanes[u.place], u.id, u.attempts, true, moment + u.delay, u.error
    FROM unnest(places, ids, attempts, delays, errors) AS u (place, id, attempts, delay, error)
    WHERE moved[u.place]
    ORDER BY groups[u.place], u.id
    ON CONFLICT (topic_id, group_index, id) DO UPDATE
    SET attempts = excluded.attempts, stalls = excluded.stalls, parked = true,
        available_at = excluded.available_at, last_error = excluded.last_error,
        lease_token = NULL, leased_until = NULL
$$;

-- Removes settlements of callers' transactions that cursors have passed. That of a message which is parked
-- stays, for its tracking row.
CREATE FUNCTION fanout.forget_settled(
    topic int, groups smallint[], lanes smallint[], moved boolean[], places int[], ids bigint[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
BEGIN
    DELETE FROM fanout.outbox_settlements f
    USING (SELECT topic AS topic_id, groups[u.place] AS group_index, lanes[u.place] AS lane, u.id
        FROM unnest(places, ids) AS u (place, id)
        WHERE moved[u.place] ORDER BY 2, u.id OFFSET 0) u
    WHERE f.topic_id = u.topic_id AND f.group_index = u.group_index AND f.id = u.id AND f.lane = u.lane
        AND NOT EXISTS (SELECT FROM fanout.outbox_consumer_groups t
            WHERE t.topic_id = topic AND t.group_index = u.group_index AND t.id = u.id AND t.parked);
END
$$;

-- Copies messages that a cursor has given up to the dead letters.
CREATE FUNCTION fanout.bury(
    topic int, groups smallint[], lanes smallint[], moved boolean[], places int[], ids bigint[],
    dead_attempts int[], reasons text[], errors text[], moment timestamptz
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO fanout.outbox_dead_letters
        (topic_name, topic_id, id, group_name, attempts, reason, last_error, dead_at,
         created_at, key, headers, payload)
    SELECT t.name, t.topic_id, o.id, b.group_name, u.attempts, u.reason, u.error, moment,
        o.created_at, o.key, o.headers, o.payload
    FROM unnest(places, ids, dead_attempts, reasons, errors) AS u (place, id, attempts, reason, error)
    JOIN fanout.outbox_topics t ON t.topic_id = topic
    JOIN fanout.consumer_group_index b ON b.topic_id = topic AND b.group_index = groups[u.place]
    JOIN fanout.outbox o ON o.topic_id = topic AND o.lane = lanes[u.place] AND o.id = u.id
    WHERE moved[u.place]
    ORDER BY groups[u.place], u.id;
END
$$;

-- Reads the cursors of a group's lanes again, for a member that does not know what became of its commits.
-- Those that have the member's epochs get another version first: a commit that has yet to happen, because its
-- caller went away, must not happen after this.
CREATE FUNCTION fanout.reread_cursors(topic int, grp smallint, wanted smallint[], epochs bigint[])
RETURNS TABLE (
    lane smallint, epoch bigint, version bigint, tick bigint, snapshot text, through_tick bigint,
    through_snapshot text, last_id bigint, settled_ahead text, failures text,
    blocked_until timestamptz, stalls int, trial_id bigint
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM fanout.outbox_subscription_offsets o
    WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (wanted)
    ORDER BY o.lane FOR NO KEY UPDATE;
    UPDATE fanout.outbox_subscription_offsets o SET version = o.version + 1
    FROM unnest(wanted, epochs) AS u (lane, epoch)
    WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = u.lane AND o.epoch = u.epoch;
    -- A later statement: the ticks that they stand at now may be newer than what the first one saw.
    RETURN QUERY
    SELECT o.lane, o.epoch, o.version, o.tick, a.snapshot::text, o.through_tick, b.snapshot::text,
        o.last_id, o.settled_ahead::text, o.failures::text, o.blocked_until, o.stalls, o.trial_id
    FROM fanout.outbox_subscription_offsets o
    JOIN fanout.outbox_ticks a ON a.topic_id = o.topic_id AND a.tick = o.tick
    JOIN fanout.outbox_ticks b ON b.topic_id = o.topic_id AND b.tick = o.through_tick
    WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (wanted);
END
$$;

-- Makes a subscription's cursors, one per lane: at the tick that it began with when nothing before is
-- owed, otherwise in the span from the beginning of the log to that tick.
CREATE FUNCTION fanout.create_cursors(
    topic int, grp smallint, start_tick bigint, owed_from bigint
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fanout.outbox_subscription_offsets (topic_id, group_index, lane, tick, through_tick, last_id)
    SELECT topic, grp, lane, CASE WHEN owed_from IS NULL THEN start_tick ELSE 0 END, start_tick,
        -- Without any tick there is nothing before the start that could be left out.
        CASE WHEN owed_from IS NULL OR start_tick = 0 THEN 0 ELSE owed_from - 1 END
    FROM fanout.outbox_topics t, generate_series(0, t.lanes - 1) AS lane
    WHERE t.topic_id = topic;
    INSERT INTO fanout.outbox_lane_leases (topic_id, group_index, lane)
    SELECT topic, grp, lane
    FROM fanout.outbox_topics t, generate_series(0, t.lanes - 1) AS lane
    WHERE t.topic_id = topic;
END
$$;

-- Removes the cursors of a bit whose subscription has left it: its members' commits are fenced. Returns how
-- many there were.
CREATE FUNCTION fanout.drop_cursors(topic int, grp smallint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    -- In the order in which lanes are taken.
    PERFORM FROM fanout.outbox_lane_leases l WHERE l.topic_id = topic AND l.group_index = grp
    ORDER BY l.lane FOR UPDATE;
    PERFORM FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic AND o.group_index = grp
    ORDER BY o.lane FOR UPDATE;
    DELETE FROM fanout.outbox_lane_leases l WHERE l.topic_id = topic AND l.group_index = grp;
    DELETE FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic AND o.group_index = grp;
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM fanout.outbox_group_members m WHERE m.topic_id = topic AND m.group_index = grp;
    RETURN removed;
END
$$;

-- The messages of a group's lanes that callers' transactions have settled and no cursor covers yet.
CREATE FUNCTION fanout.lane_settlements(topic int, grp smallint, wanted smallint[])
RETURNS TABLE (lane smallint, id bigint)
LANGUAGE sql VOLATILE SET enable_seqscan = off SET jit = off AS $$
    SELECT f.lane, f.id FROM fanout.outbox_settlements f
    WHERE f.topic_id = topic AND f.group_index = grp AND f.lane = ANY (wanted)
$$;

-- Settles messages that are read by cursor inside the caller's transaction, as settle_in does for tracked
-- ones: the rows first, then, in a later statement, whether the lanes still have the epochs and their
-- cursors have not passed the messages.
CREATE FUNCTION fanout.settle_lanes_in(
    subscription bigint, ids bigint[], wanted smallint[], epochs bigint[], earlier bigint[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    s fanout.outbox_topic_subscriptions;
    valid int;
    unsettled bigint;
BEGIN
    SELECT * INTO s FROM fanout.outbox_topic_subscriptions
    WHERE subscription_id = subscription AND status <> 'CANCELLED';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'subscription has ended subscription_id=`%`', subscription
            USING CONSTRAINT = 'fanout_stale_receipt';
    END IF;
    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id, lane)
    SELECT s.topic_id, s.group_index, u.id, u.lane FROM unnest(ids, wanted) AS u (id, lane) ORDER BY u.id;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        -- Under an older snapshot the cursors must be those of now; the locks are given up at once.
        BEGIN
            PERFORM FROM fanout.outbox_subscription_offsets o
            WHERE o.topic_id = s.topic_id AND o.group_index = s.group_index AND o.lane = ANY (wanted)
            ORDER BY o.lane FOR SHARE;
            RAISE EXCEPTION USING ERRCODE = 'FO001';
        EXCEPTION WHEN SQLSTATE 'FO001' THEN NULL;
        END;
    END IF;
    SELECT count(*) INTO valid
    FROM unnest(ids, wanted, epochs) AS u (id, lane, epoch)
    JOIN fanout.outbox_subscription_offsets o
        ON o.topic_id = s.topic_id AND o.group_index = s.group_index AND o.lane = u.lane
        AND o.epoch = u.epoch
    JOIN fanout.outbox_ticks a ON a.topic_id = o.topic_id AND a.tick = o.tick
    JOIN fanout.outbox_ticks b ON b.topic_id = o.topic_id AND b.tick = o.through_tick
    JOIN fanout.outbox m ON m.topic_id = s.topic_id AND m.lane = u.lane AND m.id = u.id
    WHERE NOT pg_visible_in_snapshot(m.tx, a.snapshot)
        AND NOT (o.through_tick > o.tick AND pg_visible_in_snapshot(m.tx, b.snapshot)
            AND (m.id <= o.last_id OR m.id <@ o.settled_ahead));
    IF valid < cardinality(ids) THEN
        RAISE EXCEPTION 'a receipt is stale: its lane has another owner, or the message was settled group=`%` receipts=`%` stale=`%`',
            s.group_name, cardinality(ids), cardinality(ids) - valid
            USING CONSTRAINT = 'fanout_stale_receipt';
    END IF;
    -- Now that the lanes are known to be those of whom these were learned from.
    SELECT min(u.id) INTO unsettled FROM unnest(earlier) AS u (id)
    WHERE NOT EXISTS (SELECT FROM fanout.outbox_settlements f
        WHERE f.topic_id = s.topic_id AND f.group_index = s.group_index AND f.id = u.id);
    IF unsettled IS NOT NULL THEN
        RAISE EXCEPTION 'an earlier message of the key is not settled group=`%` id=`%`', s.group_name, unsettled
            USING CONSTRAINT = 'fanout_out_of_order';
    END IF;
END
$$;

-- Moves the cursors of lanes without an owner to the newest tick, where nothing is owed up to it; tells
-- how many. The lease of an owner that vanished ends here, so that its ticks are needed no more. Where
-- much is unread, lanes are left to members.
CREATE FUNCTION fanout.advance_free_lanes(topic int, grp smallint, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    affordable CONSTANT bigint := 20000;
    moment timestamptz := fanout.time_or_now(at);
    newest fanout.outbox_ticks;
    lost smallint[];
    free smallint[];
    owing smallint[];
    moved smallint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(fanout.merge_lock_class(), topic);
    SELECT array_agg(l.lane), array_agg(l.lane) FILTER (WHERE l.owner IS NOT NULL) INTO free, lost
    FROM (
        SELECT l.lane, l.owner FROM fanout.outbox_lane_leases l
        WHERE l.topic_id = topic AND l.group_index = grp
            AND (l.owner IS NULL OR l.expires_at <= moment)
        ORDER BY l.lane FOR UPDATE SKIP LOCKED
    ) l;
    IF lost IS NOT NULL THEN
        UPDATE fanout.outbox_lane_leases l SET owner = NULL, expires_at = NULL
        WHERE l.topic_id = topic AND l.group_index = grp AND l.lane = ANY (lost);
        -- All of them, since others than the lost ones may be moved below.
        PERFORM FROM fanout.outbox_subscription_offsets o
        WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (free)
        ORDER BY o.lane FOR NO KEY UPDATE;
        UPDATE fanout.outbox_subscription_offsets o
        SET epoch = nextval('fanout.epochs'), version = o.version + 1, stalls = o.stalls + 1
        WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (lost);
    END IF;
    PERFORM fanout.forget_members(topic, grp, moment);
    SELECT * INTO newest FROM fanout.outbox_ticks k WHERE k.topic_id = topic ORDER BY k.tick DESC LIMIT 1;
    PERFORM FROM fanout.outbox_subscription_offsets o
    WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (free) AND o.tick < newest.tick;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF (SELECT sum(CASE WHEN s.ordering = 'per-key' THEN k.message_count ELSE k.untracked_count END)
        FROM fanout.outbox_topic_subscriptions s, fanout.outbox_ticks k
        WHERE s.topic_id = topic AND s.group_index = grp AND s.status <> 'CANCELLED'
            AND k.topic_id = topic AND k.tick > (
                SELECT min(o.tick) FROM fanout.outbox_subscription_offsets o
                WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (free))) > affordable
    THEN
        RETURN 0;
    END IF;
    owing := ARRAY(SELECT DISTINCT c.lane FROM fanout.cursor_owed(topic, grp) c
        JOIN fanout.outbox m ON m.topic_id = topic AND m.lane = c.lane AND m.id = c.id
            AND pg_visible_in_snapshot(m.tx, newest.snapshot));
    WITH changed AS (
        UPDATE fanout.outbox_subscription_offsets o
        SET tick = newest.tick, through_tick = newest.tick, last_id = 0, settled_ahead = '{}',
            version = o.version + 1
        WHERE o.topic_id = topic AND o.group_index = grp AND o.lane = ANY (free)
            AND o.lane <> ALL (owing) AND o.tick < newest.tick
        RETURNING o.lane
    )
    SELECT array_agg(c.lane) INTO moved FROM changed c;
    -- Of a message that was parked meanwhile its tracking row is still to go.
    DELETE FROM fanout.outbox_settlements f
    WHERE f.topic_id = topic AND f.group_index = grp AND f.lane = ANY (moved)
        AND NOT EXISTS (SELECT FROM fanout.outbox_consumer_groups t
            WHERE t.topic_id = topic AND t.group_index = grp AND t.id = f.id AND t.parked);
    RETURN coalesce(cardinality(moved), 0);
END
$$;

-- The snapshots of those of these ticks that exist.
CREATE FUNCTION fanout.tick_snapshots(topic int, wanted bigint[]) RETURNS TABLE (tick bigint, snapshot text)
LANGUAGE sql VOLATILE SET enable_seqscan = off SET jit = off AS $$
    SELECT k.tick, k.snapshot::text FROM fanout.outbox_ticks k
    WHERE k.topic_id = topic AND k.tick = ANY (wanted)
$$;

-- Lets a subscription begin as of a tick: what it is owed is what lies at or above an id (NULL: nothing) and
-- what the tick does not see. False when the tick is gone; the caller takes another.
CREATE FUNCTION fanout.begin_at(subscription bigint, at_tick bigint, decided bigint, from_id bigint)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    topic int;
    k fanout.outbox_ticks;
    dropped bigint;
    owed_from bigint;
BEGIN
    SELECT s.topic_id INTO STRICT topic FROM fanout.outbox_topic_subscriptions s
    WHERE s.subscription_id = subscription;
    PERFORM pg_advisory_xact_lock_shared(fanout.merge_lock_class(), topic);
    SELECT * INTO k FROM fanout.outbox_ticks x WHERE x.topic_id = topic AND x.tick = at_tick;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT t.dropped_id INTO dropped FROM fanout.outbox_topics t WHERE t.topic_id = topic;
    owed_from := CASE WHEN from_id IS NOT NULL THEN greatest(from_id, dropped + 1) END;
    -- What was decided before the tick is seen by it.
    decided := greatest(decided, k.decided_id);
    PERFORM fanout.lower_watermark(topic, least(owed_from - 1, decided));
    UPDATE fanout.outbox_topic_subscriptions s
    SET owed_from_id = owed_from, start_tick = k.tick, start_snapshot = k.snapshot,
        start_decided_id = decided, catch_up_to = NULL, catch_up_publishers = NULL,
        catch_up_from = 0, caught_up = false
    WHERE s.subscription_id = subscription;
    RETURN true;
END
$$;

-- How many messages the groups of a topic that count owe by their cursors, or one of them.
CREATE FUNCTION fanout.count_owed_by_cursor(topic int, grp smallint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(sum(o.owed), 0)
        FROM fanout.outbox_topic_subscriptions s
        CROSS JOIN LATERAL (SELECT count(*) AS owed FROM fanout.cursor_owed(topic, s.group_index)) o
        WHERE s.topic_id = topic AND s.status IN ('ACTIVE', 'PAUSED')
            AND (grp IS NULL OR s.group_index = grp));
END
$$;

-- The lowest message that a group of a topic which counts owes by its cursors.
CREATE FUNCTION fanout.lowest_owed_by_cursor(topic int) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT min(o.id)
        FROM fanout.outbox_topic_subscriptions s
        CROSS JOIN LATERAL fanout.cursor_owed(topic, s.group_index) o
        WHERE s.topic_id = topic AND s.status IN ('ACTIVE', 'PAUSED'));
END
$$;

-- Puts settlements of callers' transactions right that no owner of a lane will meet: of messages that
-- were parked meanwhile, that the cursor has settled too, or of bits that nobody has any more. Returns
-- how many.
CREATE FUNCTION fanout.sweep_lane_settlements(topic int) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    swept bigint;
    more bigint;
BEGIN
    UPDATE fanout.outbox_settlements f SET lane = NULL
    WHERE f.topic_id = topic AND f.lane IS NOT NULL AND EXISTS (
        SELECT FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = f.group_index AND t.id = f.id AND t.parked);
    GET DIAGNOSTICS swept = ROW_COUNT;
    DELETE FROM fanout.outbox_settlements f
    WHERE f.topic_id = topic AND f.lane IS NOT NULL AND (
        NOT EXISTS (SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.topic_id = topic AND s.group_index = f.group_index AND s.status <> 'CANCELLED')
        -- One of a parked message may have been committed since the statement before.
        OR NOT EXISTS (SELECT FROM fanout.outbox_consumer_groups t
            WHERE t.topic_id = topic AND t.group_index = f.group_index AND t.id = f.id AND t.parked)
        AND EXISTS (
            SELECT FROM fanout.outbox_subscription_offsets o
            JOIN fanout.outbox_ticks a ON a.topic_id = topic AND a.tick = o.tick
            JOIN fanout.outbox_ticks b ON b.topic_id = topic AND b.tick = o.through_tick
            JOIN fanout.outbox m ON m.topic_id = topic AND m.lane = f.lane AND m.id = f.id
            WHERE o.topic_id = topic AND o.group_index = f.group_index AND o.lane = f.lane
                AND (pg_visible_in_snapshot(m.tx, a.snapshot)
                    OR o.through_tick > o.tick AND pg_visible_in_snapshot(m.tx, b.snapshot)
                        AND (m.id <= o.last_id OR o.settled_ahead @> m.id))));
    GET DIAGNOSTICS more = ROW_COUNT;
    RETURN swept + more;
END
$$;

-- Ranges that cover the given ones, at most 16: all but the widest gaps are closed.
CREATE FUNCTION fanout.at_most_16_ranges(ranges int8multirange) RETURNS int8multirange
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT int8multirange(range_merge(ranges)) - coalesce(range_agg(widest.gap), '{}')
    FROM (
        SELECT gap FROM unnest(int8multirange(range_merge(ranges)) - ranges) AS gap
        ORDER BY upper(gap) - lower(gap) DESC, lower(gap) LIMIT 15
    ) widest
);

-- The lowest message that a tick sees and that was created at the moment or after; NULL when there is none,
-- or the tick is gone.
--
-- Publishers may say when a message was created, so nothing but reading tells. Each leaf is read in
-- whole, hence sequentially; so it is called before anything is locked.
CREATE FUNCTION fanout.start_id(topic int, at_tick bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    snap pg_snapshot := (SELECT k.snapshot FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick = at_tick);
    leaf record;
    dropped bigint;
    found_id bigint;
BEGIN
    SELECT t.dropped_id INTO dropped FROM fanout.outbox_topics t WHERE t.topic_id = topic;
    FOR leaf IN
        SELECT l.first_id, l.end_id FROM fanout.outbox_leaves l
        WHERE l.topic_id = topic AND l.end_id > dropped + 1 ORDER BY l.first_id
    LOOP
        SELECT min(o.id) INTO found_id FROM fanout.outbox o
        WHERE o.topic_id = topic AND o.id >= leaf.first_id AND o.id < leaf.end_id AND o.id > dropped
            AND o.created_at >= moment AND pg_visible_in_snapshot(o.tx, snap);
        EXIT WHEN found_id IS NOT NULL;
    END LOOP;
    RETURN found_id;
END
$$;

-- The committed messages above an id that a snapshot does not see.
--
-- Stable, as all that only reads here: so its answer is of the same moment as the rest of the statement
-- that asks. The order pins the index on tx, by which the cost is that of the answer.
CREATE FUNCTION fanout.unseen(topic int, seen pg_snapshot, above bigint)
RETURNS TABLE (id bigint, lane smallint, tracked boolean, tx xid8)
LANGUAGE plpgsql STABLE ROWS 1000
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT o.id, o.lane, o.tracked, o.tx FROM fanout.outbox o
    WHERE o.topic_id = topic AND o.tx >= pg_snapshot_xmax(seen) AND o.id > above
    ORDER BY o.tx;
    RETURN QUERY
    SELECT o.id, o.lane, o.tracked, o.tx
    FROM pg_snapshot_xip(seen) AS open (tx)
    CROSS JOIN LATERAL (
        SELECT o.id, o.lane, o.tracked, o.tx FROM fanout.outbox o
        WHERE o.topic_id = topic AND o.tx = open.tx AND o.id > above
        OFFSET 0
    ) o;
END
$$;

-- Gives a new subscription up to n of the tracked messages that it is owed and whose publishers did
-- not see it, and tells whether it has all of them.
--
-- Owed is what lies at or above owed_from_id, or is not seen by the subscription's snapshot. Up to
-- start_decided_id all was decided before the subscription, so one pass is enough. Above it, a publisher
-- that began its statement before the subscription committed may have missed it; such a publisher held
-- the publish lock when the subscription committed, or had committed. So: list the holders after the
-- commit, and look again after each that ends. None of their ids of that time is above the
-- sequence read before the list. The pass that began when none of them was left is the last.
--
-- catch_up_from is where the pass stands, 0 between passes; catch_up_publishers are those that were
-- awaited when it began. What a pass has given it does not find again, since the bit tells.
CREATE OR REPLACE FUNCTION fanout.catch_up(subscription bigint, n int, OUT done boolean, OUT added bigint)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    s fanout.outbox_topic_subscriptions;
    lanes int;
    dropped bigint;
    open text[];
    place bigint;
    width bigint := greatest(n, 1000);
    missed bigint[];
    missed_lanes smallint[];
    more bigint[];
    more_lanes smallint[];
BEGIN
    done := false;
    added := 0;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
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
    IF s.ordering <> 'unordered' THEN
        -- Its cursors have everything, tracked or not.
        UPDATE fanout.outbox_topic_subscriptions SET caught_up = true WHERE subscription_id = subscription;
        done := true;
        RETURN;
    END IF;
    SELECT t.lanes, t.dropped_id INTO lanes, dropped
    FROM fanout.outbox_topics t WHERE t.topic_id = s.topic_id;
    IF s.catch_up_to IS NULL THEN
        s.catch_up_to := fanout.drawn_id(s.topic_id);
        s.catch_up_publishers := fanout.publishers(s.topic_id);
        place := least(s.owed_from_id - 1, s.start_decided_id);
    ELSIF s.catch_up_from = 0 THEN
        open := fanout.still_open(s.catch_up_publishers, fanout.publishers(s.topic_id));
        IF cardinality(open) = cardinality(s.catch_up_publishers) AND cardinality(open) > 0 THEN
            RETURN;
        END IF;
        s.catch_up_publishers := open;
        place := s.start_decided_id;
    ELSE
        place := s.catch_up_from;
    END IF;
    place := greatest(place, dropped);

    -- Below the start: what the snapshot does not see.
    SELECT coalesce(array_agg(u.id ORDER BY u.id), '{}'), coalesce(array_agg(u.lane ORDER BY u.id), '{}')
    INTO missed, missed_lanes
    FROM (
        SELECT u.id, u.lane
        FROM fanout.unseen(s.topic_id, s.start_snapshot, greatest(place, s.start_decided_id)) u
        WHERE u.tracked AND u.id <= s.catch_up_to AND (u.id < s.owed_from_id OR s.owed_from_id IS NULL)
            AND (SELECT fanout.has_bit(c.required_groups_bitmap, s.group_index)
                 FROM fanout.outbox_completions c
                 WHERE c.topic_id = s.topic_id AND c.id = u.id) IS NOT TRUE
        ORDER BY u.id
        LIMIT n
    ) u;
    -- From there on all, by windows of ids that widen over gaps.
    place := greatest(place, s.owed_from_id - 1);
    WHILE s.owed_from_id IS NOT NULL AND cardinality(missed) < n AND place < s.catch_up_to LOOP
        SELECT array_agg(o.id ORDER BY o.id), array_agg(o.lane ORDER BY o.id) INTO more, more_lanes
        FROM (
            SELECT o.id, o.lane
            FROM generate_series(0, lanes - 1) AS l (lane)
            CROSS JOIN LATERAL (
                SELECT o.id, o.lane FROM fanout.outbox o
                WHERE o.topic_id = s.topic_id AND o.lane = l.lane::smallint AND o.tracked
                    AND o.id > place AND o.id <= least(place + width, s.catch_up_to)
                OFFSET 0
            ) o
            WHERE (SELECT fanout.has_bit(c.required_groups_bitmap, s.group_index)
                 FROM fanout.outbox_completions c
                 WHERE c.topic_id = s.topic_id AND c.id = o.id) IS NOT TRUE
            ORDER BY o.id
            LIMIT n - cardinality(missed)
        ) o;
        missed := missed || more;
        missed_lanes := missed_lanes || more_lanes;
        place := place + width;
        width := least(2 * width, 16 * greatest(n, 1000));
    END LOOP;

    added := cardinality(missed);
    IF added > 0 THEN
        -- What was published before there was any accounting has no record yet.
        INSERT INTO fanout.outbox_completions
            (topic_id, id, required_groups_bitmap, completed_groups_bitmap)
        SELECT s.topic_id, u.id, fanout.zero_bitmap(1), fanout.zero_bitmap(1)
        FROM unnest(missed) AS u (id)
        WHERE (SELECT true FROM fanout.outbox_completions c
               WHERE c.topic_id = s.topic_id AND c.id = u.id) IS NULL
        ORDER BY u.id
        ON CONFLICT DO NOTHING;
        PERFORM FROM unnest(missed) AS u (id)
        CROSS JOIN LATERAL (
            SELECT c.id FROM fanout.outbox_completions c
            WHERE c.topic_id = s.topic_id AND c.id = u.id
            FOR NO KEY UPDATE
        ) c;
        INSERT INTO fanout.outbox_consumer_groups (topic_id, group_index, lane, id)
        SELECT s.topic_id, s.group_index, u.lane, u.id
        FROM unnest(missed, missed_lanes) AS u (id, lane) ORDER BY u.id;
        EXECUTE format('UPDATE fanout.%I c
            SET required_groups_bitmap = set_bit(fanout.widened(c.required_groups_bitmap, $2), $2, 1),
                completed_groups_bitmap = fanout.widened(c.completed_groups_bitmap, $2),
                completed_at = NULL
            FROM (SELECT $1 AS topic_id, r AS id FROM unnest($3) AS r OFFSET 0) u
            WHERE c.topic_id = u.topic_id AND c.id = u.id', 'outbox_completions_' || s.topic_id)
            USING s.topic_id, s.group_index, missed;
    END IF;
    -- A full batch: there may be more.
    done := added < n AND cardinality(s.catch_up_publishers) = 0;
    UPDATE fanout.outbox_topic_subscriptions
    SET catch_up_to = s.catch_up_to, catch_up_publishers = s.catch_up_publishers, caught_up = done,
        catch_up_from = CASE WHEN added < n THEN 0 ELSE missed[n] END
    WHERE subscription_id = subscription;
END
$$;

-- What a group is owed by its cursors: the messages above an id that are committed, ticked or not, and
-- that neither a cursor nor a caller's transaction has settled. An unordered group has tracking rows for
-- tracked messages, and for every group parked ones are settled here.
--
-- The cost is that of what the lowest cursor does not see. A cursor that still stands in its first span,
-- from the beginning of the log, is read by its ids instead. Ticks without untracked messages are
-- nothing to an unordered group, so its cursors are taken to stand behind them.
CREATE FUNCTION fanout.cursor_owed(topic int, grp smallint, above bigint DEFAULT 0)
RETURNS TABLE (id bigint, lane smallint)
LANGUAGE plpgsql STABLE ROWS 1000
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_mergejoin = off
SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    ordered boolean;
BEGIN
    SELECT s.ordering = 'per-key' INTO ordered FROM fanout.outbox_topic_subscriptions s
    WHERE s.topic_id = topic AND s.group_index = grp AND s.status <> 'CANCELLED';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Leaving such a cursor out would let its messages be dropped.
    IF EXISTS (
        SELECT FROM fanout.outbox_subscription_offsets o
        WHERE o.topic_id = topic AND o.group_index = grp AND (
            NOT EXISTS (SELECT FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick = o.tick)
            OR NOT EXISTS (
                SELECT FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick = o.through_tick)))
    THEN
        RAISE EXCEPTION 'a cursor stands at a tick that is gone topic_id=`%` group_index=`%`', topic, grp;
    END IF;
    RETURN QUERY
    WITH behind AS MATERIALIZED (
        SELECT d.tick, CASE WHEN ordered THEN d.tick ELSE (
            SELECT k.tick FROM fanout.outbox_ticks k
            WHERE k.topic_id = topic AND k.tick >= d.tick AND k.tick < coalesce((
                SELECT k.tick FROM fanout.outbox_ticks k
                WHERE k.topic_id = topic AND k.tick > d.tick AND k.untracked_count > 0
                ORDER BY k.tick LIMIT 1), 9223372036854775807)
            ORDER BY k.tick DESC LIMIT 1) END AS effective
        FROM (SELECT DISTINCT o.tick FROM fanout.outbox_subscription_offsets o
            WHERE o.topic_id = topic AND o.group_index = grp) d
    ), cursors AS MATERIALIZED (
        SELECT o.lane, d.effective AS tick, a.snapshot AS a, o.through_tick, b.snapshot AS b,
            o.last_id, o.settled_ahead
        FROM fanout.outbox_subscription_offsets o
        JOIN behind d ON d.tick = o.tick
        JOIN fanout.outbox_ticks a ON a.topic_id = topic AND a.tick = d.effective
        JOIN fanout.outbox_ticks b ON b.topic_id = topic AND b.tick = o.through_tick
        WHERE o.topic_id = topic AND o.group_index = grp
    ), owed AS (
        SELECT u.id, u.lane
        FROM (
            SELECT CASE WHEN c.tick > 0 THEN c.a ELSE c.b END AS snapshot FROM cursors c
            WHERE c.tick > 0 OR c.through_tick > 0
            ORDER BY CASE WHEN c.tick > 0 THEN c.tick ELSE c.through_tick END LIMIT 1
        ) lowest
        CROSS JOIN LATERAL fanout.unseen(topic, lowest.snapshot, above) u
        JOIN cursors c ON c.lane = u.lane
        WHERE (ordered OR NOT u.tracked) AND CASE
            WHEN c.tick > 0 THEN NOT pg_visible_in_snapshot(u.tx, c.a)
                AND NOT (c.through_tick > c.tick AND pg_visible_in_snapshot(u.tx, c.b)
                    AND (u.id <= c.last_id OR c.settled_ahead @> u.id))
            -- The rest of such a lane is read below.
            ELSE c.through_tick > 0 AND u.id <= c.last_id AND NOT pg_visible_in_snapshot(u.tx, c.b)
        END
        UNION ALL
        SELECT o.id, c.lane
        FROM (SELECT * FROM cursors WHERE tick = 0) c
        CROSS JOIN LATERAL (
            SELECT o.id, o.tx FROM fanout.outbox o
            WHERE o.topic_id = topic AND o.lane = c.lane AND (ordered OR NOT o.tracked)
                AND o.id > greatest(above, CASE WHEN c.through_tick > 0 THEN c.last_id ELSE 0 END)
            OFFSET 0
        ) o
        WHERE c.through_tick = 0
            OR NOT (c.settled_ahead @> o.id AND pg_visible_in_snapshot(o.tx, c.b))
    )
    SELECT w.id, w.lane FROM owed w
    -- Not a join: that would compare all with all, as nothing is known of how many are owed.
    WHERE w.id NOT IN (
        SELECT f.id FROM fanout.outbox_settlements f
        WHERE f.topic_id = topic AND f.group_index = grp AND f.id > above);
END
$$;

-- Takes the watermark back to an id, so that messages above it may be owed again. Whoever makes them
-- owed calls it in the same transaction, before: the row stays locked, so that nobody who cannot see what
-- is owed then raises it in between.
CREATE FUNCTION fanout.lower_watermark(topic int, to_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM fanout.outbox_topic_watermarks w WHERE w.topic_id = topic FOR NO KEY UPDATE;
    UPDATE fanout.outbox_topic_watermarks w
    SET watermark_id = greatest(to_id, t.dropped_id)
    FROM fanout.outbox_topics t
    WHERE w.topic_id = topic AND t.topic_id = topic AND w.watermark_id > greatest(to_id, t.dropped_id);
END
$$;

-- One step of a topic's decided id: every message up to it has committed or rolled back. Returns it. Nobody
-- waits: where another session takes the step, or keeps the row locked, the id is what it was.
--
-- Read the sequence, list the publishers, wait until those have ended, and until the log of that time
-- is on disk, because a crash takes the sequence back. Without publishers the commit of this very
-- transaction brings the log to disk, before anybody sees the id. A candidate is written to the same
-- log after the ids that it tells of, so where it survived a crash they did; and publishers are awaited
-- by names, which after a restart are unknown, or another's, for whom the wait is only longer.
CREATE FUNCTION fanout.decide(topic int) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    w fanout.outbox_topic_watermarks;
    old fanout.outbox_topic_watermarks;
    seen record;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'deciding ids needs a read committed transaction isolation=`%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    SELECT * INTO w FROM fanout.outbox_topic_watermarks x
    WHERE x.topic_id = topic FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN (SELECT x.decided_id FROM fanout.outbox_topic_watermarks x WHERE x.topic_id = topic);
    END IF;
    old := w;
    SELECT * INTO seen FROM fanout.observe_publishers(topic, coalesce(w.candidate_publishers, '{}'));
    IF seen.drawn < w.decided_id THEN
        -- The sequence went back, which only a lost server can do to it: begin anew.
        SELECT least(t.dropped_id, seen.drawn) INTO w.decided_id
        FROM fanout.outbox_topics t WHERE t.topic_id = topic;
        w.watermark_id := w.decided_id;
        w.candidate_id := NULL;
    ELSIF seen.drawn < w.candidate_id OR seen.written < w.candidate_written THEN
        -- Of another server.
        w.candidate_id := NULL;
    END IF;
    IF w.candidate_id IS NOT NULL
        AND (cardinality(seen.remaining) > 0 OR seen.flushed < w.candidate_written)
    THEN
        w.candidate_publishers := seen.remaining;
    ELSE
        w.decided_id := greatest(w.decided_id, w.candidate_id);
        IF cardinality(seen.publishers) = 0 THEN
            w.decided_id := greatest(w.decided_id, seen.drawn);
            w.candidate_id := NULL;
        ELSE
            w.candidate_id := seen.drawn;
        END IF;
        -- An id that is decided already needs no candidate.
        IF w.candidate_id <= w.decided_id THEN
            w.candidate_id := NULL;
        END IF;
        IF w.candidate_id IS NULL THEN
            w.candidate_publishers := NULL;
            w.candidate_written := NULL;
        ELSE
            w.candidate_publishers := seen.publishers;
            w.candidate_written := seen.written;
        END IF;
    END IF;
    IF w IS DISTINCT FROM old THEN
        IF current_setting('synchronous_commit') = 'off' THEN
            PERFORM set_config('synchronous_commit', 'local', true);
        END IF;
        UPDATE fanout.outbox_topic_watermarks x
        SET watermark_id = w.watermark_id, decided_id = w.decided_id, candidate_id = w.candidate_id,
            candidate_publishers = w.candidate_publishers, candidate_written = w.candidate_written
        WHERE x.topic_id = topic;
    END IF;
    RETURN w.decided_id;
END
$$;

-- Removes up to n ticks at which no cursor stands or ends a span, and gives what they cover to the next
-- that stays; returns how many.
--
-- Whoever makes a cursor stand at a tick holds the merge lock shared, or is a member whose row tells the
-- lowest tick that it may use.
CREATE FUNCTION fanout.merge_ticks(topic int, n int) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    victims bigint[];
    still bigint[];
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'merging ticks needs a read committed transaction isolation=`%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    IF NOT pg_try_advisory_xact_lock(fanout.publish_lock_class() + 3, topic) THEN
        RETURN 0;
    END IF;
    victims := fanout.free_ticks(topic, n);
    victims := ARRAY(
        SELECT k.tick FROM fanout.outbox_ticks k
        WHERE k.topic_id = topic AND k.tick = ANY (victims) ORDER BY k.tick FOR UPDATE SKIP LOCKED);
    -- They may have been free in an older state only.
    still := fanout.free_ticks(topic, n);
    victims := ARRAY(SELECT v FROM unnest(victims) AS v WHERE v = ANY (still) ORDER BY v);
    IF cardinality(victims) = 0 THEN
        RETURN 0;
    END IF;
    WITH gone AS (
        DELETE FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick = ANY (victims)
        RETURNING k.tick, k.id_ranges, k.message_count, k.untracked_count
    ), heirs AS MATERIALIZED (
        SELECT k.tick, min(k.tick) FILTER (WHERE k.tick <> ALL (victims)) OVER (ORDER BY k.tick DESC) AS heir
        FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick >= victims[1]
    ), given AS (
        SELECT h.heir, range_agg(g.id_ranges) AS id_ranges, sum(g.message_count)::bigint AS message_count,
            sum(g.untracked_count)::bigint AS untracked_count
        FROM gone g JOIN heirs h ON h.tick = g.tick
        GROUP BY h.heir
    )
    UPDATE fanout.outbox_ticks k
    SET id_ranges = fanout.at_most_16_ranges(k.id_ranges + g.id_ranges),
        message_count = k.message_count + g.message_count,
        untracked_count = k.untracked_count + g.untracked_count
    FROM given g
    WHERE k.topic_id = topic AND k.tick = g.heir;
    RETURN cardinality(victims);
END
$$;

-- The lowest n ticks of a topic that nobody needs as of now.
CREATE FUNCTION fanout.free_ticks(topic int, n int) RETURNS bigint[]
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN ARRAY(
        SELECT k.tick FROM fanout.outbox_ticks k
        WHERE k.topic_id = topic AND k.tick > 0
            AND k.tick < (SELECT max(x.tick) FROM fanout.outbox_ticks x WHERE x.topic_id = topic)
            AND k.tick < coalesce((
                SELECT min(m.oldest_tick) FROM fanout.outbox_group_members m
                WHERE m.topic_id = topic), 9223372036854775807)
            AND NOT EXISTS (SELECT FROM (
                    SELECT o.tick FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic
                    UNION
                    SELECT o.through_tick FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic
                    UNION
                    SELECT s.start_tick FROM fanout.outbox_topic_subscriptions s
                    WHERE s.topic_id = topic AND s.status <> 'CANCELLED' AND NOT s.caught_up
                ) used WHERE used.tick = k.tick)
        ORDER BY k.tick
        LIMIT n);
END
$$;

-- An id below which a group owes nothing by its cursors, of those above an id; NULL when it owes nothing.
-- From what the ticks cover; on demand exact, where that is affordable.
CREATE FUNCTION fanout.cursor_bound(
    topic int, grp smallint, ordered boolean, above bigint, decided bigint, exact boolean
) RETURNS bigint
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    affordable CONSTANT bigint := 20000;
    bound bigint;
    messages bigint;
BEGIN
    WITH cursors AS MATERIALIZED (
        SELECT o.tick, o.through_tick, o.last_id, o.settled_ahead
        FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic AND o.group_index = grp
    ), spans AS MATERIALIZED (
        SELECT c.tick, c.through_tick, (
            SELECT range_agg(k.id_ranges) FROM fanout.outbox_ticks k
            WHERE k.topic_id = topic AND k.tick > c.tick AND k.tick <= c.through_tick
                AND (ordered OR k.untracked_count > 0)) AS ranges
        FROM (SELECT DISTINCT c.tick, c.through_tick FROM cursors c) c
    )
    SELECT least(
            (SELECT min(lower(s.ranges * int8multirange(int8range(greatest(c.last_id, above) + 1, NULL))
                - c.settled_ahead))
             FROM cursors c JOIN spans s ON s.tick = c.tick AND s.through_tick = c.through_tick),
            (SELECT lower(range_agg(k.id_ranges) * int8multirange(int8range(above + 1, NULL)))
             FROM fanout.outbox_ticks k
             WHERE k.topic_id = topic AND k.tick > first.through_tick
                AND (ordered OR k.untracked_count > 0))),
        (SELECT sum(k.message_count) FROM fanout.outbox_ticks k
         WHERE k.topic_id = topic AND k.tick > first.tick
            AND (ordered OR k.tick >= (
                SELECT min(x.tick) FROM fanout.outbox_ticks x
                WHERE x.topic_id = topic AND x.tick > first.tick AND x.untracked_count > 0)))
    INTO bound, messages
    FROM (SELECT min(c.tick) AS tick, min(c.through_tick) AS through_tick FROM cursors c) first;
    IF exact AND bound <= decided AND messages <= affordable THEN
        SELECT min(o.id) INTO bound FROM fanout.cursor_owed(topic, grp, above) o;
    END IF;
    RETURN bound;
END
$$;

-- Records up to where a topic is settled for every group that counts; tells whether that has moved.
--
-- The decided id first, then, in a later statement, the lowest message that is not settled. All that is in
-- one statement, as messages go from cursors to tracking rows. Nothing at or below the watermark is
-- owed, since whoever makes it owed lowers the watermark before; so nothing there is looked at.
CREATE FUNCTION fanout.refresh_watermark(topic int, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    w fanout.outbox_topic_watermarks;
    is_exact boolean;
    lowest bigint;
    reached bigint;
BEGIN
    PERFORM fanout.decide(topic);
    SELECT * INTO w FROM fanout.outbox_topic_watermarks x WHERE x.topic_id = topic FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- What the ticks cover is enough while that moves; where it stands still, cursors are read exactly.
    FOREACH is_exact IN ARRAY '{false, true}'::boolean[] LOOP
        WITH groups AS MATERIALIZED (
            SELECT s.group_index, s.ordering = 'per-key' AS ordered, s.caught_up, s.owed_from_id,
                s.start_decided_id, s.catch_up_to, s.catch_up_from
            FROM fanout.outbox_topic_subscriptions s
            WHERE s.topic_id = topic AND s.status IN ('ACTIVE', 'PAUSED')
        )
        SELECT min(l.id) INTO lowest FROM (
            SELECT (
                SELECT t.id FROM fanout.outbox_consumer_groups t
                WHERE t.topic_id = topic AND t.group_index = g.group_index AND t.id > w.watermark_id
                    AND (SELECT true FROM fanout.outbox_settlements f
                         WHERE f.topic_id = topic AND f.group_index = g.group_index AND f.id = t.id) IS NULL
                ORDER BY t.id LIMIT 1)
            FROM groups g
            UNION ALL
            -- What a subscription may still be given: a first pass goes on from where it is, later ones
            -- begin above what was decided.
            SELECT CASE
                WHEN g.catch_up_to IS NULL THEN least(g.owed_from_id, g.start_decided_id + 1)
                WHEN g.catch_up_from = 0 THEN g.start_decided_id + 1
                ELSE least(g.catch_up_from, g.start_decided_id) + 1
            END
            FROM groups g WHERE NOT g.caught_up AND NOT g.ordered
            UNION ALL
            SELECT fanout.cursor_bound(topic, g.group_index, g.ordered, w.watermark_id, w.decided_id, is_exact)
            FROM groups g
            UNION ALL
            -- Seen by no tick yet.
            SELECT min(u.id)
            FROM (
                SELECT k.snapshot, k.decided_id FROM fanout.outbox_ticks k
                WHERE k.topic_id = topic ORDER BY k.tick DESC LIMIT 1
            ) newest
            CROSS JOIN LATERAL fanout.unseen(
                topic, newest.snapshot, greatest(newest.decided_id, w.watermark_id)) u
            WHERE EXISTS (SELECT FROM groups g WHERE g.ordered OR NOT u.tracked)
        ) l (id);
        SELECT greatest(w.watermark_id, t.dropped_id, least(w.decided_id, lowest - 1)) INTO reached
        FROM fanout.outbox_topics t WHERE t.topic_id = topic;
        EXIT WHEN reached > w.watermark_id OR w.decided_id <= w.watermark_id;
    END LOOP;
    IF reached = w.watermark_id THEN
        RETURN false;
    END IF;
    UPDATE fanout.outbox_topic_watermarks x
    SET watermark_id = reached, updated_at = fanout.time_or_now(at)
    WHERE x.topic_id = topic;
    RETURN true;
END
$$;

-- Where every live group of a topic stands: exact counts at one moment. A message that waits at the head of a
-- blocked lane counts as delayed.
CREATE OR REPLACE FUNCTION fanout.group_stats(topic int, at timestamptz) RETURNS TABLE (
    group_name text, status text, pending bigint, in_flight bigint, delayed bigint,
    lowest_unsettled bigint, oldest_pending_at timestamptz, dead_letters bigint, read_at timestamptz
)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.group_name, s.status, tracked.pending + cursors.pending, tracked.in_flight,
        tracked.delayed + blocked.lanes, lowest.place[1],
        (SELECT o.created_at FROM fanout.outbox o
         WHERE o.topic_id = topic AND o.id = lowest.place[1] AND o.lane = lowest.place[2]::smallint),
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
            min(ARRAY[t.id, t.lane]) AS lowest
        FROM fanout.outbox_consumer_groups t
        WHERE t.topic_id = topic AND t.group_index = s.group_index
            AND NOT EXISTS (
                SELECT FROM fanout.outbox_settlements f
                WHERE f.topic_id = topic AND f.group_index = s.group_index AND f.id = t.id)
    ) tracked
    CROSS JOIN LATERAL (
        SELECT count(*) AS pending, min(ARRAY[c.id, c.lane]) AS lowest
        FROM fanout.cursor_owed(topic, s.group_index) c
    ) cursors
    CROSS JOIN LATERAL (
        SELECT count(*) AS lanes FROM fanout.outbox_subscription_offsets o
        WHERE o.topic_id = topic AND o.group_index = s.group_index AND o.blocked_until > moment
    ) blocked
    CROSS JOIN LATERAL (SELECT least(tracked.lowest, cursors.lowest) AS place) lowest
    WHERE p.topic_id = topic
    ORDER BY s.group_name;
END
$$;

-- What every live group owes of the messages that are tracked, or of those that are not. Ordered groups read
-- both alike, and parked messages are accounted for by themselves. While a group catches up it may yet be
-- given tracked messages.
CREATE FUNCTION fanout.group_remaining(topic int, tracked boolean)
RETURNS TABLE (group_name text, status text, messages bigint)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.group_name, s.status, CASE
        WHEN s.ordering = 'per-key' THEN 0
        WHEN tracked THEN greatest((NOT s.caught_up)::int, (
            SELECT count(*) FROM fanout.outbox_consumer_groups t
            WHERE t.topic_id = topic AND t.group_index = s.group_index AND NOT t.parked
                AND NOT EXISTS (
                    SELECT FROM fanout.outbox_settlements f
                    WHERE f.topic_id = topic AND f.group_index = s.group_index AND f.id = t.id)))
        ELSE (SELECT count(*) FROM fanout.cursor_owed(topic, s.group_index))
    END
    FROM fanout.outbox_topic_subscriptions s
    WHERE s.topic_id = topic AND s.status <> 'CANCELLED'
    ORDER BY s.group_name;
END
$$;

-- The first n messages above an id that a live group owes, ascending.
CREATE FUNCTION fanout.pending_ids(topic int, grp smallint, after bigint, n int) RETURNS SETOF bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET jit = off SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.id FROM (
        (SELECT t.id FROM fanout.outbox_consumer_groups t
         WHERE t.topic_id = topic AND t.group_index = grp AND t.id > after
            AND EXISTS (
                SELECT FROM fanout.outbox_topic_subscriptions s
                WHERE s.topic_id = topic AND s.group_index = grp AND s.status <> 'CANCELLED')
            AND (SELECT true FROM fanout.outbox_settlements f
                 WHERE f.topic_id = topic AND f.group_index = grp AND f.id = t.id) IS NULL
         ORDER BY t.id LIMIT n)
        UNION
        SELECT c.id FROM fanout.cursor_owed(topic, grp, after) c
    ) p
    ORDER BY p.id
    LIMIT n;
END
$$;

-- Whether a topic's stored transaction ids are those of another cluster: the database was restored from a
-- dump. They lie in the future of this server; or they did when a message was published here, which
-- now looks as if the newest tick had seen it, but no tick covers it. Those messages begin where the dump
-- ends, so of a long log without ticks the first and the last are looked at. What is stored is read before
-- the server's present.
CREATE FUNCTION fanout.topic_needs_rebase(topic int) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off SET jit = off
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    affordable CONSTANT int := 20000;
    newest_tx xid8;
    newest pg_snapshot;
    covered bigint;
    stored pg_snapshot[];
    now pg_snapshot;
BEGIN
    SELECT o.tx INTO newest_tx FROM fanout.outbox o WHERE o.topic_id = topic ORDER BY o.tx DESC LIMIT 1;
    SELECT (SELECT k.snapshot FROM fanout.outbox_ticks k WHERE k.topic_id = topic ORDER BY k.tick DESC LIMIT 1),
        coalesce((SELECT max(upper(k.id_ranges)) FROM fanout.outbox_ticks k WHERE k.topic_id = topic), 0),
        ARRAY(SELECT s.start_snapshot FROM fanout.outbox_topic_subscriptions s
            WHERE s.topic_id = topic AND s.status <> 'CANCELLED' AND NOT s.caught_up)
    INTO newest, covered, stored;
    IF EXISTS (
        SELECT FROM fanout.outbox_topics t, generate_series(0, t.lanes - 1) AS l (lane)
        CROSS JOIN LATERAL (
            (SELECT o.tx FROM fanout.outbox o
            WHERE o.topic_id = topic AND o.lane = l.lane::smallint AND o.id >= covered
            ORDER BY o.id LIMIT affordable / t.lanes)
            UNION ALL
            (SELECT o.tx FROM fanout.outbox o
            WHERE o.topic_id = topic AND o.lane = l.lane::smallint AND o.id >= covered
            ORDER BY o.id DESC LIMIT affordable / t.lanes)
        ) o
        WHERE t.topic_id = topic AND pg_visible_in_snapshot(o.tx, newest))
    THEN
        RETURN true;
    END IF;
    now := pg_current_snapshot();
    RETURN EXISTS (
            SELECT FROM unnest(stored || newest) AS x
            WHERE pg_snapshot_xmax(x) > pg_snapshot_xmax(now) OR pg_snapshot_xmin(x) > pg_snapshot_xmin(now))
        OR newest_tx >= pg_snapshot_xmax(now)
            -- Not a row of this very transaction.
            AND newest_tx > coalesce(pg_current_xact_id_if_assigned(), '0');
END
$$;

-- Whether any topic needs `rebase`.
CREATE FUNCTION fanout.needs_rebase() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM fanout.outbox_topics t WHERE fanout.topic_needs_rebase(t.topic_id));
END
$$;

-- Mends a database that was restored into another cluster, whose transaction ids have not come as far as
-- those that were dumped; returns how many messages it rewrote, 0 when nothing is wrong.
--
-- Snapshots of one cluster contain each other, so a message is known by how many of the kept ones do not
-- see it. That number becomes its transaction id, counted from 3, and each snapshot becomes one that
-- ends at its own. They are so low that every real snapshot of this cluster sees all of them.
CREATE FUNCTION fanout.rebase() RETURNS bigint
LANGUAGE plpgsql SET client_min_messages = warning SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    lowest CONSTANT bigint := 3;
    topics int[];
    topic int;
    known text[];
    snapshots pg_snapshot[];
    horizon bigint;
    present xid8;
    covered bigint;
    changed bigint;
    total bigint := 0;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'rebasing needs a read committed transaction isolation=`%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    IF NOT fanout.needs_rebase() THEN
        RETURN 0;
    END IF;
    FOR topic IN SELECT t.topic_id FROM fanout.outbox_topics t ORDER BY 1 LOOP
        PERFORM fanout.lock_membership(topic);
        PERFORM pg_advisory_xact_lock(fanout.publish_lock_class() + 2, topic);
        PERFORM pg_advisory_xact_lock(fanout.publish_lock_class() + 3, topic);
    END LOOP;
    PERFORM FROM fanout.outbox_topic_subscriptions s ORDER BY s.subscription_id FOR UPDATE;
    LOCK TABLE fanout.outbox_lane_leases, fanout.outbox_subscription_offsets, fanout.outbox_group_members,
        fanout.outbox_ticks IN ACCESS EXCLUSIVE MODE;
    -- Another session may have mended it meanwhile.
    topics := ARRAY(SELECT t.topic_id FROM fanout.outbox_topics t
        WHERE fanout.topic_needs_rebase(t.topic_id) ORDER BY 1);
    IF cardinality(topics) = 0 THEN
        RETURN 0;
    END IF;
    -- No member of before goes on.
    UPDATE fanout.outbox_subscription_offsets SET epoch = nextval('fanout.epochs'), version = version + 1;
    UPDATE fanout.outbox_lane_leases SET owner = NULL, expires_at = NULL;
    DELETE FROM fanout.outbox_group_members;
    UPDATE fanout.outbox_topic_watermarks
    SET candidate_id = NULL, candidate_publishers = NULL, candidate_written = NULL;
    -- The publishers that were awaited have ended, with what they committed in the dump: one pass more.
    UPDATE fanout.outbox_topic_subscriptions
    SET catch_up_to = NULL, catch_up_from = 0, catch_up_publishers = '{}'
    WHERE NOT caught_up;

    FOREACH topic IN ARRAY topics LOOP
        PERFORM fanout.lock_topic_storage(topic);
        -- The fewer ticks, the fewer transaction ids are needed.
        WHILE fanout.merge_ticks(topic, 1000) > 0 LOOP
        END LOOP;
        SELECT array_agg(x.snapshot ORDER BY x.ends, x.open DESC), array_agg(x.name ORDER BY x.ends, x.open DESC)
        INTO snapshots, known
        FROM (
            SELECT DISTINCT ON (name) y.snapshot::text AS name, y.snapshot,
                pg_snapshot_xmax(y.snapshot) AS ends,
                (SELECT count(*) FROM pg_snapshot_xip(y.snapshot)) AS open
            FROM (
                SELECT k.snapshot FROM fanout.outbox_ticks k WHERE k.topic_id = topic AND k.tick > 0
                UNION ALL
                SELECT s.start_snapshot FROM fanout.outbox_topic_subscriptions s
                WHERE s.topic_id = topic AND s.status <> 'CANCELLED' AND NOT s.caught_up
            ) y
        ) x;
        snapshots := coalesce(snapshots, '{}');
        horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
        IF lowest + cardinality(snapshots) >= horizon THEN
            RAISE EXCEPTION 'this cluster has used too few transaction ids for the restored ticks, use more and try again topic_id=`%` needed=`%` used=`%`',
                topic, lowest + cardinality(snapshots), horizon
                USING CONSTRAINT = 'fanout_xids';
        END IF;
        -- What was published here before this repair has an id of this cluster, which old snapshots seem
        -- to see; but no tick covers the message.
        present := pg_snapshot_xmax(pg_current_snapshot());
        SELECT upper(range_agg(k.id_ranges)) INTO covered
        FROM fanout.outbox_ticks k WHERE k.topic_id = topic;
        WITH placed AS (
            SELECT o.lane, o.id, (lowest + CASE
                WHEN o.id >= covered AND o.tx < present THEN cardinality(snapshots)
                WHEN o.tx < pg_snapshot_xmin(snapshots[1]) THEN 0
                ELSE (SELECT count(*) FROM unnest(snapshots) AS x WHERE NOT pg_visible_in_snapshot(o.tx, x))
            END)::text::xid8 AS tx
            FROM fanout.outbox o WHERE o.topic_id = topic
        )
        UPDATE fanout.outbox o SET tx = p.tx
        FROM placed p
        WHERE o.topic_id = topic AND o.lane = p.lane AND o.id = p.id AND o.tx <> p.tx;
        GET DIAGNOSTICS changed = ROW_COUNT;
        total := total + changed;

        UPDATE fanout.outbox_ticks k SET snapshot = format('%1$s:%1$s:', lowest + p.place)::pg_snapshot
        FROM unnest(known) WITH ORDINALITY AS p (name, place)
        WHERE k.topic_id = topic AND k.tick > 0 AND k.snapshot::text = p.name;
        -- Nobody looks at those that are caught up; they keep what is true of them.
        UPDATE fanout.outbox_topic_subscriptions s
        SET start_snapshot = CASE
            WHEN s.caught_up THEN (
                SELECT k.snapshot FROM fanout.outbox_ticks k
                WHERE k.topic_id = topic AND k.tick <= s.start_tick ORDER BY k.tick DESC LIMIT 1)
            ELSE format('%1$s:%1$s:', lowest + array_position(known, s.start_snapshot::text))::pg_snapshot
        END
        WHERE s.topic_id = topic AND s.status <> 'CANCELLED';
    END LOOP;
    RETURN total;
END
$$;

-- Topics and subscriptions that were there before: what is owed of the log has tracking rows, also where
-- cursors read it once, before they were removed. So cursors begin behind all of it, at a tick.
DO $$
DECLARE
    topic int;
    s fanout.outbox_topic_subscriptions;
BEGIN
    FOR topic IN SELECT t.topic_id FROM fanout.outbox_topic_storage t ORDER BY 1 LOOP
        PERFORM fanout.create_topic_ticks(topic);
        INSERT INTO fanout.outbox_ticks (topic_id, tick, snapshot, id_ranges, message_count,
            untracked_count, decided_id, created_at)
        SELECT topic, nextval('fanout.ticks'), pg_current_snapshot(),
            int8multirange(int8range(t.low, t.high + 1)), t.messages, t.untracked, 0, clock_timestamp()
        FROM (
            SELECT count(*) AS messages, count(*) FILTER (WHERE NOT o.tracked) AS untracked,
                min(o.id) AS low, max(o.id) AS high
            FROM fanout.outbox o WHERE o.topic_id = topic
        ) t
        WHERE t.messages > 0;
    END LOOP;
    INSERT INTO fanout.outbox_topic_watermarks (topic_id) SELECT topic_id FROM fanout.outbox_topics;
    FOR s IN SELECT * FROM fanout.outbox_topic_subscriptions WHERE status <> 'CANCELLED' LOOP
        PERFORM fanout.create_cursors(s.topic_id, s.group_index,
            (SELECT max(k.tick) FROM fanout.outbox_ticks k WHERE k.topic_id = s.topic_id), NULL);
    END LOOP;
END
$$;
