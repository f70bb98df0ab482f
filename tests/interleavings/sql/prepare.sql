-- What the interleavings add to their database: a log of what ticks and cursors did, and how to make the
-- topic as new.
CREATE SCHEMA inter;

CREATE TABLE inter.ticks (tick bigint NOT NULL, snapshot pg_snapshot NOT NULL);

CREATE TABLE inter.moves (
    move bigint GENERATED ALWAYS AS IDENTITY,
    group_index smallint NOT NULL,
    lane smallint NOT NULL,
    epoch bigint NOT NULL,
    backward boolean NOT NULL,
    -- Messages that the cursor settles since.
    covers bigint[] NOT NULL
);

CREATE FUNCTION inter.note_tick() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inter.ticks VALUES (NEW.tick, NEW.snapshot);
    RETURN NULL;
END
$$;
CREATE TRIGGER note_tick AFTER INSERT ON fanout.outbox_ticks
    FOR EACH ROW WHEN (NEW.tick > 0) EXECUTE FUNCTION inter.note_tick();

-- The stored messages that a cursor settles.
CREATE FUNCTION inter.covered(c fanout.outbox_subscription_offsets) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT o.id FROM fanout.outbox o
        JOIN fanout.outbox_ticks a ON a.topic_id = c.topic_id AND a.tick = c.tick
        JOIN fanout.outbox_ticks b ON b.topic_id = c.topic_id AND b.tick = c.through_tick
        WHERE o.topic_id = c.topic_id AND o.lane = c.lane AND (
            pg_visible_in_snapshot(o.tx, a.snapshot)
            OR c.through_tick > c.tick AND pg_visible_in_snapshot(o.tx, b.snapshot)
                AND (o.id <= c.last_id OR c.settled_ahead @> o.id)));
END
$$;

CREATE FUNCTION inter.note_move() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before bigint[] := '{}';
    after bigint[] := '{}';
BEGIN
    IF (NEW.tick, NEW.through_tick, NEW.last_id, NEW.settled_ahead)
        IS DISTINCT FROM (OLD.tick, OLD.through_tick, OLD.last_id, OLD.settled_ahead)
    THEN
        before := inter.covered(OLD);
        after := inter.covered(NEW);
    END IF;
    INSERT INTO inter.moves (group_index, lane, epoch, backward, covers) VALUES (
        NEW.group_index, NEW.lane, NEW.epoch,
        NEW.tick < OLD.tick OR NEW.through_tick < OLD.through_tick OR NEW.epoch < OLD.epoch
            OR NEW.version <= OLD.version OR NOT after @> before,
        ARRAY(SELECT unnest(after) EXCEPT SELECT unnest(before)));
    RETURN NULL;
END
$$;
CREATE TRIGGER note_move AFTER UPDATE ON fanout.outbox_subscription_offsets
    FOR EACH ROW EXECUTE FUNCTION inter.note_move();

-- Makes a topic as new, at a fraction of what another one costs.
CREATE FUNCTION inter.renew(topic int, mode text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- First, so that a late step of the decided id by members of before is over, or comes after.
    UPDATE fanout.outbox_topic_watermarks
    SET watermark_id = 0, decided_id = 0, candidate_id = NULL, candidate_publishers = NULL,
        candidate_written = NULL
    WHERE topic_id = topic;
    PERFORM setval(id_sequence, 1, false) FROM fanout.outbox_topics WHERE topic_id = topic;
    DELETE FROM fanout.outbox WHERE topic_id = topic;
    DELETE FROM fanout.outbox_completions WHERE topic_id = topic;
    DELETE FROM fanout.outbox_consumer_groups WHERE topic_id = topic;
    DELETE FROM fanout.outbox_settlements WHERE topic_id = topic;
    DELETE FROM fanout.outbox_ticks WHERE topic_id = topic AND tick > 0;
    DELETE FROM fanout.outbox_subscription_offsets WHERE topic_id = topic;
    DELETE FROM fanout.outbox_lane_leases WHERE topic_id = topic;
    DELETE FROM fanout.outbox_group_members WHERE topic_id = topic;
    DELETE FROM fanout.outbox_seeks WHERE topic_id = topic;
    DELETE FROM fanout.outbox_dead_letters WHERE topic_id = topic;
    DELETE FROM fanout.outbox_topic_subscriptions WHERE topic_id = topic;
    DELETE FROM fanout.consumer_group_index WHERE topic_id = topic;
    UPDATE fanout.outbox_topics SET completion_mode = mode WHERE topic_id = topic;
    DELETE FROM inter.ticks;
    DELETE FROM inter.moves;
END
$$;

-- All that the checks need to know of a topic, at one moment.
CREATE FUNCTION inter.facts(topic int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN json_build_object(
        'log', coalesce((
            SELECT json_agg(json_build_object('id', o.id, 'tx', o.tx::text::bigint,
                'tracked', o.tracked, 'key', o.key) ORDER BY o.id)
            FROM fanout.outbox o WHERE o.topic_id = topic), '[]'),
        'subscriptions', coalesce((
            SELECT json_agg(json_build_object('group', s.group_name, 'bit', s.group_index,
                'status', s.status, 'ordered', s.ordering = 'per-key', 'start', s.start_snapshot::text,
                'owed_from', s.owed_from_id, 'pending', CASE WHEN s.status = 'CANCELLED' THEN '{}'
                    ELSE ARRAY(SELECT fanout.pending_ids(topic, s.group_index, 0, 100)) END)
                ORDER BY s.subscription_id)
            FROM fanout.outbox_topic_subscriptions s WHERE s.topic_id = topic), '[]'),
        'records', coalesce((
            SELECT json_agg(json_build_object('id', c.id, 'finished', c.completed_at IS NOT NULL,
                'required', ARRAY(SELECT g FROM generate_series(0, 31) AS g
                    WHERE fanout.has_bit(c.required_groups_bitmap, g::smallint)),
                'completed', ARRAY(SELECT g FROM generate_series(0, 31) AS g
                    WHERE fanout.has_bit(c.completed_groups_bitmap, g::smallint))) ORDER BY c.id)
            FROM fanout.outbox_completions c WHERE c.topic_id = topic), '[]'),
        'taken', coalesce((
            SELECT json_agg(t.snapshot::text ORDER BY t.tick) FROM inter.ticks t), '[]'),
        'spans', coalesce((
            SELECT json_agg(json_build_object('tick', k.tick, 'stored', k.message_count,
                'stored_untracked', k.untracked_count, 'found', seen.found,
                'found_untracked', seen.found_untracked, 'covered', seen.covered) ORDER BY k.tick)
            FROM (
                SELECT k.*, lag(k.snapshot) OVER (ORDER BY k.tick) AS former
                FROM fanout.outbox_ticks k WHERE k.topic_id = topic
            ) k
            CROSS JOIN LATERAL (
                SELECT count(*) AS found, count(*) FILTER (WHERE NOT o.tracked) AS found_untracked,
                    coalesce(bool_and(k.id_ranges @> o.id), true) AS covered
                FROM fanout.outbox o
                WHERE o.topic_id = topic AND pg_visible_in_snapshot(o.tx, k.snapshot)
                    AND NOT pg_visible_in_snapshot(o.tx, k.former)
            ) seen
            WHERE k.tick > 0), '[]'),
        'moves', coalesce((
            SELECT json_agg(json_build_object('bit', m.group_index, 'lane', m.lane, 'epoch', m.epoch,
                'backward', m.backward, 'covers', m.covers) ORDER BY m.move)
            FROM inter.moves m), '[]'),
        'watermark', (
            SELECT w.watermark_id FROM fanout.outbox_topic_watermarks w WHERE w.topic_id = topic)
    )::text;
END
$$;
