-- Removes the accounting. Refuses while a group owes settlements or dead letters are kept, unless the
-- setting fanout.force_down is on. The log stays.

DO $$
DECLARE
    unsettled bigint;
    dead bigint;
BEGIN
    -- Against publishers and settlements in flight, in their order of locks.
    LOCK TABLE fanout.outbox, fanout.outbox_completions, fanout.outbox_consumer_groups,
        fanout.outbox_settlements IN ACCESS EXCLUSIVE MODE;
    SELECT count(*) INTO unsettled FROM fanout.outbox_consumer_groups g
    WHERE NOT EXISTS (
            SELECT FROM fanout.outbox_settlements s
            WHERE s.topic_id = g.topic_id AND s.group_index = g.group_index AND s.id = g.id)
        AND EXISTS (
            SELECT FROM fanout.outbox_topic_subscriptions s
            WHERE s.topic_id = g.topic_id AND s.group_index = g.group_index AND s.status <> 'CANCELLED');
    SELECT count(*) INTO dead FROM fanout.outbox_dead_letters;
    IF unsettled + dead > 0 AND coalesce(current_setting('fanout.force_down', true), '') <> 'on' THEN
        RAISE EXCEPTION 'groups still owe settlements, or dead letters are kept unsettled=`%` dead_letters=`%`',
            unsettled, dead
            USING CONSTRAINT = 'fanout_would_lose_messages';
    END IF;
END
$$;

UPDATE fanout.outbox_topics SET settled_id = fanout.drawn_id(topic_id);
DELETE FROM fanout.outbox_storage_parts WHERE relation <> 'outbox';

DROP TRIGGER follow_storage ON fanout.outbox_topic_storage;
DROP TRIGGER follow_leaf ON fanout.outbox_leaves;
DROP TRIGGER outbox_after_insert ON fanout.outbox;

DO $$
DECLARE
    topic int;
BEGIN
    FOR topic IN SELECT topic_id FROM fanout.outbox_topic_storage LOOP
        EXECUTE format('DROP FUNCTION fanout.%I, fanout.%I', 'claim_' || topic, 'settle_' || topic);
    END LOOP;
END
$$;

DROP FUNCTION fanout.group_stats(int, timestamptz);
DROP FUNCTION fanout.free_bits(int);
DROP FUNCTION fanout.lock_membership(int);
DROP FUNCTION fanout.lowest_owed(int, smallint, bigint);
DROP FUNCTION fanout.observe_publishers(int, text[]);
DROP FUNCTION fanout.catch_up(bigint, int);
DROP FUNCTION fanout.still_open(text[], text[]);
DROP FUNCTION fanout.reap(int, smallint, int, timestamptz);
DROP FUNCTION fanout.fold(int, smallint, int, timestamptz);
DROP FUNCTION fanout.settle_in(bigint, bigint[], bigint[]);
DROP FUNCTION fanout.dead_letter(bigint, bigint, bigint, int, text, text, timestamptz);
DROP FUNCTION fanout.extend(bigint, int, smallint, bigint[], bigint[], interval, timestamptz);
DROP FUNCTION fanout.release(bigint, int, smallint, bigint[], bigint[]);
DROP FUNCTION fanout.fail(bigint, int, smallint, bigint[], bigint[], interval[], text[], timestamptz);
DROP FUNCTION fanout.create_topic_functions(int);
DROP FUNCTION fanout.follow_storage();
DROP FUNCTION fanout.follow_leaf();
DROP FUNCTION fanout.create_topic_accounting(int);
DROP FUNCTION fanout.create_completion_leaf(int, bigint, bigint);
DROP FUNCTION fanout.outbox_after_insert();
DROP FUNCTION fanout.create_queue_subscription(int, timestamptz);
DROP FUNCTION fanout.widened(bytea, smallint);
DROP FUNCTION fanout.has_bit(bytea, smallint);
DROP FUNCTION fanout.zero_bitmap(int);
DROP TABLE fanout.outbox_dead_letters;
DROP TABLE fanout.outbox_settlements;
DROP SEQUENCE fanout.lease_tokens;
DROP TABLE fanout.outbox_consumer_groups;
DROP TABLE fanout.outbox_completions;
DROP TABLE fanout.outbox_topic_subscriptions;
DROP TABLE fanout.consumer_group_index;
