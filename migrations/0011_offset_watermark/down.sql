-- Removes cursors and ticks. Refuses while a live group owes messages by its cursors, reads in order, which
-- without cursors none can, or lacks messages from before its subscription, unless the setting
-- fanout.force_down is on. The log stays, and so do parked messages.

DO $$
DECLARE
    owed bigint;
    ordered bigint;
    lagging bigint;
BEGIN
    -- Against members, publishers and settlements in flight: cursors before tracking rows, as their
    -- commits go.
    LOCK TABLE fanout.outbox_lane_leases, fanout.outbox_subscription_offsets IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE fanout.outbox, fanout.outbox_completions, fanout.outbox_consumer_groups,
        fanout.outbox_settlements IN ACCESS EXCLUSIVE MODE;
    SELECT count(*) INTO owed
    FROM fanout.outbox_topic_subscriptions s
    CROSS JOIN LATERAL fanout.cursor_owed(s.topic_id, s.group_index) c
    WHERE s.status <> 'CANCELLED';
    SELECT count(*) FILTER (WHERE s.ordering = 'per-key'),
        count(*) FILTER (WHERE s.ordering = 'unordered' AND NOT s.caught_up AND s.owed_from_id IS NOT NULL)
    INTO ordered, lagging
    FROM fanout.outbox_topic_subscriptions s WHERE s.status <> 'CANCELLED';
    IF owed + ordered + lagging > 0 AND coalesce(current_setting('fanout.force_down', true), '') <> 'on' THEN
        RAISE EXCEPTION 'groups still owe messages by their cursors, or read in order, or are catching up owed=`%` ordered=`%` catching_up=`%`',
            owed, ordered, lagging
            USING CONSTRAINT = 'fanout_would_lose_messages';
    END IF;
    -- Forced: nobody could read for them.
    UPDATE fanout.consumer_group_index b SET released = true
    FROM fanout.outbox_topic_subscriptions s
    WHERE s.topic_id = b.topic_id AND s.group_index = b.group_index
        AND s.ordering = 'per-key' AND s.status <> 'CANCELLED';
    UPDATE fanout.outbox_topic_subscriptions
    SET status = 'CANCELLED', status_changed_at = clock_timestamp()
    WHERE ordering = 'per-key' AND status <> 'CANCELLED';
    -- What was parked meanwhile is settled in its tracking row; the rest would be found in none.
    PERFORM fanout.sweep_lane_settlements(t.topic_id) FROM fanout.outbox_topics t;
    DELETE FROM fanout.outbox_settlements WHERE lane IS NOT NULL;
    -- Without cursors only what is tracked is delivered.
    UPDATE fanout.outbox_topics SET completion_mode = 'reference-counting'
    WHERE completion_mode = 'offset-watermark';
END
$$;

DROP TRIGGER follow_storage_ticks ON fanout.outbox_topic_storage;
DROP TRIGGER follow_topic ON fanout.outbox_topics;

DO $$
DECLARE
    topic int;
BEGIN
    FOR topic IN SELECT topic_id FROM fanout.outbox_topic_storage LOOP
        EXECUTE format('DROP FUNCTION fanout.%I, fanout.%I, fanout.%I',
            'tick_' || topic, 'look_' || topic, 'read_' || topic);
    END LOOP;
END
$$;

DROP FUNCTION fanout.rebase();
DROP FUNCTION fanout.needs_rebase();
DROP FUNCTION fanout.topic_needs_rebase(int);
DROP FUNCTION fanout.group_remaining(int, boolean);
DROP FUNCTION fanout.pending_ids(int, smallint, bigint, int);
DROP FUNCTION fanout.refresh_watermark(int, timestamptz);
DROP FUNCTION fanout.cursor_bound(int, smallint, boolean, bigint, bigint, boolean);
DROP FUNCTION fanout.free_ticks(int, int);
DROP FUNCTION fanout.merge_ticks(int, int);
DROP FUNCTION fanout.decide(int);
DROP FUNCTION fanout.lower_watermark(int, bigint);
DROP FUNCTION fanout.start_id(int, bigint, timestamptz);
DROP FUNCTION fanout.sweep_lane_settlements(int);
DROP FUNCTION fanout.lowest_owed_by_cursor(int);
DROP FUNCTION fanout.count_owed_by_cursor(int, smallint);
DROP FUNCTION fanout.begin_at;
DROP FUNCTION fanout.tick_snapshots(int, bigint[]);
DROP FUNCTION fanout.advance_free_lanes(int, smallint, timestamptz);
DROP FUNCTION fanout.settle_lanes_in(bigint, bigint[], smallint[], bigint[], bigint[]);
DROP FUNCTION fanout.lane_settlements(int, smallint, smallint[]);
DROP FUNCTION fanout.drop_cursors(int, smallint);
DROP FUNCTION fanout.create_cursors(int, smallint, bigint, bigint);
DROP FUNCTION fanout.reread_cursors(int, smallint, smallint[], bigint[]);
DROP FUNCTION fanout.bury;
DROP FUNCTION fanout.park;
DROP FUNCTION fanout.commit_cursors;
DROP FUNCTION fanout.forget_settled(int, smallint[], smallint[], boolean[], int[], bigint[]);
DROP FUNCTION fanout.extend_lanes;
DROP FUNCTION fanout.hold_lanes;
DROP FUNCTION fanout.forget_strays(int);
DROP FUNCTION fanout.forget_members(int, smallint, timestamptz);
DROP FUNCTION fanout.create_topic_cursor_functions(int);
DROP FUNCTION fanout.follow_topic();
DROP FUNCTION fanout.follow_storage_ticks();
DROP FUNCTION fanout.create_topic_ticks(int);
DROP FUNCTION fanout.merge_lock_class();
DROP FUNCTION fanout.tick_lock_class();

-- As they were before.
-- Whether tracking rows account for the messages of a publish in this transaction.
CREATE OR REPLACE FUNCTION fanout.is_tracked(topic int, mode text) RETURNS boolean
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

-- Gives a new subscription up to n of the messages whose publishers did not see it, and tells whether
-- it has all of them.
--
-- Owed is what the subscription's snapshot does not see. A publisher that began its statement before
-- the subscription committed may have missed it; such a publisher held the publish lock when the
-- subscription committed, or had committed. So: list the holders once after the commit, and look
-- after each that ends. None of their ids of that time is above the sequence read before the list.
CREATE OR REPLACE FUNCTION fanout.catch_up(subscription bigint, n int, OUT done boolean, OUT added bigint)
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

-- Where every live group of a topic stands: exact counts at one moment.
CREATE OR REPLACE FUNCTION fanout.group_stats(topic int, at timestamptz) RETURNS TABLE (
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

DROP FUNCTION fanout.cursor_owed(int, smallint, bigint);
DROP FUNCTION fanout.unseen(int, pg_snapshot, bigint);
DROP FUNCTION fanout.at_most_16_ranges(int8multirange);

ALTER TABLE fanout.outbox_topic_subscriptions
    DROP COLUMN owed_from_id,
    DROP COLUMN start_tick,
    DROP COLUMN start_decided_id;
DROP TABLE fanout.outbox_seeks;
DROP TABLE fanout.outbox_topic_watermarks;
DROP TABLE fanout.outbox_group_members;
DROP TABLE fanout.outbox_lane_leases;
DROP TABLE fanout.outbox_subscription_offsets;
DROP SEQUENCE fanout.epochs;
DROP SEQUENCE fanout.ticks;
DROP TABLE fanout.outbox_ticks;
