-- Removes the log. Refuses while a queue holds messages that nobody has handled, unless the setting
-- fanout.force_down is on. (Without the accounting, messages of pub/sub topics are for no group.)

DO $$
DECLARE
    messages bigint;
    topic_id int;
BEGIN
    SELECT count(*) INTO messages FROM fanout.outbox o JOIN fanout.outbox_topics t USING (topic_id)
    WHERE t.semantics = 'queue' AND o.id > t.settled_id;
    IF messages > 0 AND coalesce(current_setting('fanout.force_down', true), '') <> 'on' THEN
        RAISE EXCEPTION 'queues hold messages that nobody has handled messages=`%`', messages
            USING CONSTRAINT = 'fanout_would_lose_messages';
    END IF;
    FOR topic_id IN SELECT s.topic_id FROM fanout.outbox_topic_storage s LOOP
        IF NOT fanout.drop_topic_storage(topic_id) THEN
            RAISE EXCEPTION 'the log is in use topic_id=`%`', topic_id USING CONSTRAINT = 'fanout_in_use';
        END IF;
    END LOOP;
END
$$;

DROP FUNCTION fanout.publishers(int);
DROP FUNCTION fanout.is_tracked(int, text);
DROP FUNCTION fanout.publish(text, bytea[], text[], jsonb[], timestamptz);
DROP FUNCTION fanout.drop_topic_storage(int);
DROP FUNCTION fanout.truncate_topic_storage(int);
DROP FUNCTION fanout.lock_topic_storage(int);
DROP FUNCTION fanout.create_topic_storage(int);
DROP FUNCTION fanout.ensure_leaves(int);
DROP FUNCTION fanout.add_leaf(int, bigint);
DROP FUNCTION fanout.drawn_id(int);
DROP FUNCTION fanout.publish_lock_class();
DROP FUNCTION fanout.lane_of(text, bigint, smallint);
DROP FUNCTION fanout.time_or_now(timestamptz);
DROP TABLE fanout.outbox;
DROP TABLE fanout.outbox_leaves;
DROP TABLE fanout.outbox_topic_storage;
DROP TABLE fanout.outbox_storage_parts;
DROP TABLE fanout.outbox_topics;
