-- The log: topics, their messages, and the one function that publishes.
--
-- Services in any language publish with one statement inside their own transaction, so all that
-- must hold for a message stands here and not in a client. The log is append-only and never
-- updated; it is partitioned by topic, so that topics do not touch each other, and then by ranges of
-- ids ("leaves"), so that old messages go by emptying a leaf.

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'fanout needs a database in UTF8, lanes are hashes of the UTF-8 bytes of keys server_encoding=`%`',
            current_setting('server_encoding')
            USING CONSTRAINT = 'fanout_encoding';
    END IF;
END
$$;

CREATE TABLE fanout.outbox_topics (
    topic_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
        CONSTRAINT outbox_topics_name_length CHECK (octet_length(name) BETWEEN 1 AND 255),
    semantics text NOT NULL
        CONSTRAINT outbox_topics_semantics CHECK (semantics IN ('pub-sub', 'queue')),
    completion_mode text NOT NULL
        CONSTRAINT outbox_topics_completion_mode
            CHECK (completion_mode IN ('reference-counting', 'offset-watermark')),
    lanes smallint NOT NULL CONSTRAINT outbox_topics_lanes CHECK (lanes BETWEEN 1 AND 1024),
    message_retention interval NOT NULL,
    zero_subscription_retention interval NOT NULL,
    block_writes_on_zero_subscriptions boolean NOT NULL,
    max_retention interval NOT NULL,
    partition_interval interval NOT NULL,
    audit boolean NOT NULL,
    created_at timestamptz NOT NULL,
    -- Drawn by publishers under the publish lock; CACHE 1, so that no session hoards ids.
    id_sequence regclass,
    -- The first id that no leaf covers yet.
    leaf_end bigint NOT NULL DEFAULT 1,
    -- Every message up to this id has been removed.
    dropped_id bigint NOT NULL DEFAULT 0,
    -- Every message up to this id was settled when the accounting was last removed.
    settled_id bigint NOT NULL DEFAULT 0
);

-- The topics whose tables exist. A topic's tables outlive it until a moment at which dropping them
-- makes nobody wait.
CREATE TABLE fanout.outbox_topic_storage (
    topic_id int PRIMARY KEY
);

-- The partitioned tables that have a part per topic, named <relation>_<topic>, in the order in which
-- publishers lock them.
CREATE TABLE fanout.outbox_storage_parts (
    relation name PRIMARY KEY,
    place int NOT NULL
);
INSERT INTO fanout.outbox_storage_parts VALUES ('outbox', 1);

CREATE TABLE fanout.outbox_leaves (
    topic_id int NOT NULL REFERENCES fanout.outbox_topic_storage ON DELETE CASCADE,
    first_id bigint NOT NULL,
    end_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (topic_id, first_id)
);

CREATE TABLE fanout.outbox (
    topic_id int NOT NULL,
    lane smallint NOT NULL,
    tracked boolean NOT NULL,
    id bigint NOT NULL,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at timestamptz NOT NULL,
    key text CONSTRAINT fanout_key_size CHECK (octet_length(key) <= 1024),
    headers jsonb CONSTRAINT fanout_headers_object CHECK (jsonb_typeof(headers) = 'object'),
    payload bytea NOT NULL CONSTRAINT fanout_payload_size CHECK (octet_length(payload) <= 16777216),
    PRIMARY KEY (topic_id, lane, id)
) PARTITION BY LIST (topic_id);

CREATE INDEX outbox_tx ON fanout.outbox (topic_id, tx);

-- The time that a caller gives, for tests, or the database's.
CREATE FUNCTION fanout.time_or_now(at timestamptz) RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN coalesce(at, clock_timestamp());

-- The same in every engine: the first 4 bytes of md5(key), big-endian, or the id.
CREATE FUNCTION fanout.lane_of(key text, id bigint, lanes smallint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE
    WHEN key IS NULL THEN id
    ELSE ('x' || substr(md5(key), 1, 8))::bit(32)::bigint
END % lanes)::smallint;

-- The class of the publish locks; the second key of each is the topic.
CREATE FUNCTION fanout.publish_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 1718580078;

-- The highest id that was drawn for a topic, 0 when none was.
CREATE FUNCTION fanout.drawn_id(topic int) RETURNS bigint
LANGUAGE sql VOLATILE
RETURN (SELECT coalesce(pg_sequence_last_value(id_sequence), 0)
    FROM fanout.outbox_topics WHERE topic_id = topic);

-- Adds one leaf of `size` ids after the last.
--
-- Built apart and attached, because CREATE TABLE … PARTITION OF would wait for every open publisher
-- and make all others wait behind it; ATTACH goes beside them. The toast target keeps payloads of a
-- few KiB in their rows; only a leaf accepts the option.
CREATE FUNCTION fanout.add_leaf(topic int, size bigint) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning SET lock_timeout = '2s' AS $$
DECLARE
    first bigint;
    leaf text;
BEGIN
    SELECT leaf_end INTO STRICT first FROM fanout.outbox_topics WHERE topic_id = topic FOR NO KEY UPDATE;
    leaf := format('outbox_%s_%s', topic, first);
    EXECUTE format(
        'CREATE TABLE fanout.%1$I (LIKE fanout.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
             CONSTRAINT leaf_range CHECK (id >= %2$s AND id < %3$s))
         WITH (toast_tuple_target = 8160)', leaf, first, first + size);
    EXECUTE format('ALTER TABLE fanout.%I ATTACH PARTITION fanout.%I FOR VALUES FROM (%s) TO (%s)',
        'outbox_' || topic, leaf, first, first + size);
    EXECUTE format('ALTER TABLE fanout.%I DROP CONSTRAINT leaf_range', leaf);
    INSERT INTO fanout.outbox_leaves (topic_id, first_id, end_id) VALUES (topic, first, first + size);
    UPDATE fanout.outbox_topics SET leaf_end = first + size WHERE topic_id = topic;
END
$$;

-- Makes leaves until two stand ready ahead of the one that the sequence is in; returns how many.
--
-- Leaves are sized to cover about the topic's partition_interval at the rate at which ids were
-- drawn since the last leaf was made.
CREATE FUNCTION fanout.ensure_leaves(topic int) RETURNS int
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    smallest CONSTANT bigint := 1000000;
    largest CONSTANT bigint := 100000000;
    t fanout.outbox_topics;
    drawn bigint;
    ahead bigint;
    last fanout.outbox_leaves;
    size bigint;
    made int := 0;
BEGIN
    SELECT * INTO t FROM fanout.outbox_topics WHERE topic_id = topic;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    drawn := fanout.drawn_id(topic);
    LOOP
        SELECT count(*) INTO ahead FROM fanout.outbox_leaves l
        WHERE l.topic_id = topic AND l.first_id > drawn;
        EXIT WHEN ahead >= 2;
        -- Of concurrent callers one makes the leaf; the others find it.
        PERFORM FROM fanout.outbox_topics WHERE topic_id = topic FOR NO KEY UPDATE;
        SELECT count(*) INTO ahead FROM fanout.outbox_leaves l
        WHERE l.topic_id = topic AND l.first_id > drawn;
        EXIT WHEN ahead >= 2;
        SELECT * INTO last FROM fanout.outbox_leaves l
        WHERE l.topic_id = topic AND l.first_id <= drawn ORDER BY l.first_id DESC LIMIT 1;
        size := smallest;
        IF last.created_at < clock_timestamp() - interval '1 second' THEN
            size := least(largest, greatest(smallest, ((drawn - last.first_id)
                / extract(epoch FROM clock_timestamp() - last.created_at)
                * extract(epoch FROM t.partition_interval))::bigint));
        END IF;
        PERFORM fanout.add_leaf(topic, size);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- Makes a topic's sequence, tables and first leaves.
CREATE FUNCTION fanout.create_topic_storage(topic int) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    INSERT INTO fanout.outbox_topic_storage VALUES (topic);
    EXECUTE format('CREATE SEQUENCE fanout.%I AS bigint CACHE 1', 'outbox_ids_' || topic);
    UPDATE fanout.outbox_topics
    SET id_sequence = format('fanout.%I', 'outbox_ids_' || topic)::regclass
    WHERE topic_id = topic;
    EXECUTE format('CREATE TABLE fanout.%I (LIKE fanout.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
        PARTITION BY RANGE (id)', 'outbox_' || topic);
    EXECUTE format('ALTER TABLE fanout.outbox ATTACH PARTITION fanout.%I FOR VALUES IN (%s)',
        'outbox_' || topic, topic);
    PERFORM fanout.ensure_leaves(topic);
END
$$;

-- Locks a topic's storage against everybody, in the order in which publishers take locks.
CREATE FUNCTION fanout.lock_topic_storage(topic int) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT tree.relid
        FROM fanout.outbox_storage_parts part,
            pg_partition_tree(format('fanout.%I', part.relation || '_' || topic)::regclass) tree
        ORDER BY part.place, tree.level, tree.relid
    LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation);
    END LOOP;
END
$$;

-- Empties a topic's storage. The caller has locked it.
CREATE FUNCTION fanout.truncate_topic_storage(topic int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('fanout.%I', relation || '_' || topic), ', ' ORDER BY place)
        FROM fanout.outbox_storage_parts);
END
$$;

-- Drops the tables of a deleted topic, unless that would make anybody wait; tells whether it did.
CREATE FUNCTION fanout.drop_topic_storage(topic int) RETURNS boolean
LANGUAGE plpgsql SET client_min_messages = warning SET lock_timeout = '50ms' AS $$
DECLARE
    part record;
BEGIN
    FOR part IN SELECT relation FROM fanout.outbox_storage_parts ORDER BY place LOOP
        EXECUTE format('LOCK TABLE ONLY fanout.%I IN ACCESS EXCLUSIVE MODE NOWAIT', part.relation);
        EXECUTE format('DROP TABLE IF EXISTS fanout.%I', part.relation || '_' || topic);
    END LOOP;
    EXECUTE format('DROP SEQUENCE IF EXISTS fanout.%I', 'outbox_ids_' || topic);
    DELETE FROM fanout.outbox_topic_storage WHERE topic_id = topic;
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Whether tracking rows account for the messages of a publish in this transaction.
CREATE FUNCTION fanout.is_tracked(topic int, mode text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- Under an older snapshot a publisher could miss a subscription that it must write for.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'publishing needs a read committed transaction isolation=`%`',
            current_setting('transaction_isolation')
            USING CONSTRAINT = 'fanout_isolation';
    END IF;
    RETURN mode = 'reference-counting';
END
$$;

-- Publishes a batch in the caller's transaction and returns the ids in the batch's order.
--
-- With memory for the batch, which passes through tables that would spill to files otherwise. `keys` and
-- `headers` may be NULL, or hold NULLs. Errors carry a CONSTRAINT of the form
-- fanout_<kind>.
CREATE FUNCTION fanout.publish(
    topic text,
    payloads bytea[],
    keys text[] DEFAULT NULL,
    headers jsonb[] DEFAULT NULL,
    at timestamptz DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
    t fanout.outbox_topics;
    n int := coalesce(cardinality(payloads), 0);
    is_tracked boolean;
    ids bigint[];
    ready bigint;
BEGIN
    IF n = 0 THEN
        RAISE EXCEPTION 'batch is empty' USING CONSTRAINT = 'fanout_empty_batch';
    END IF;
    IF cardinality(keys) <> n OR cardinality(headers) <> n THEN
        RAISE EXCEPTION 'payloads, keys and headers differ in number payloads=`%` keys=`%` headers=`%`',
            n, cardinality(keys), cardinality(headers)
            USING CONSTRAINT = 'fanout_batch_shape';
    END IF;
    SELECT * INTO t FROM fanout.outbox_topics WHERE name = topic;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'topic not found topic=`%`', topic USING CONSTRAINT = 'fanout_topic_not_found';
    END IF;
    is_tracked := fanout.is_tracked(t.topic_id, t.completion_mode);

    -- The publish lock: whoever lists its holders knows every transaction that may still bring
    -- one of the ids drawn so far. Hence before the ids.
    PERFORM pg_advisory_xact_lock_shared(fanout.publish_lock_class(), t.topic_id);
    SELECT array_agg(nextval(t.id_sequence)) INTO ids FROM generate_series(1, n);

    IF ids[n] >= t.leaf_end THEN
        SELECT leaf_end INTO ready FROM fanout.outbox_topics WHERE topic_id = t.topic_id;
        IF ids[n] >= ready THEN
            RAISE EXCEPTION 'the log has no leaf for the next ids topic=`%` id=`%` leaf_end=`%`',
                topic, ids[n], ready
                USING CONSTRAINT = 'fanout_leaf_missing';
        END IF;
    END IF;

    INSERT INTO fanout.outbox (topic_id, lane, tracked, id, created_at, key, headers, payload)
    SELECT t.topic_id, fanout.lane_of(m.key, m.id, t.lanes), is_tracked, m.id,
        coalesce(at, clock_timestamp()), m.key, m.headers, m.payload
    FROM unnest(ids, payloads, keys, headers) AS m (id, payload, key, headers);
    RETURN ids;
END
$$;

-- The transactions that may still bring an id which was drawn before: the holders of the publish
-- lock. Prepared transactions have no process, so they are named by virtual transaction.
CREATE FUNCTION fanout.publishers(topic int) RETURNS text[]
LANGUAGE sql VOLATILE
RETURN (
    SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}')
    FROM pg_locks
    WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = fanout.publish_lock_class()::oid
        AND objid = topic::oid
        AND objsubid = 2
);
