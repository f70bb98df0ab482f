//! The control tables and what is read of the others, for diesel's query builder.

diesel::table! {
    fanout.outbox_topics (topic_id) {
        topic_id -> Integer,
        name -> Text,
        semantics -> Text,
        completion_mode -> Text,
        lanes -> SmallInt,
        message_retention -> Interval,
        zero_subscription_retention -> Interval,
        block_writes_on_zero_subscriptions -> Bool,
        max_retention -> Interval,
        partition_interval -> Interval,
        audit -> Bool,
        created_at -> Timestamptz,
        leaf_end -> BigInt,
        dropped_id -> BigInt,
    }
}

diesel::table! {
    fanout.outbox_topic_storage (topic_id) {
        topic_id -> Integer,
    }
}

diesel::table! {
    fanout.consumer_group_index (topic_id, group_index) {
        topic_id -> Integer,
        group_index -> SmallInt,
        group_name -> Text,
        released -> Bool,
        freed_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    fanout.outbox_topic_subscriptions (subscription_id) {
        subscription_id -> BigInt,
        topic_id -> Integer,
        group_name -> Text,
        group_index -> SmallInt,
        status -> Text,
        ordering -> Text,
        on_failure -> Text,
        lease -> Interval,
        max_attempts -> Integer,
        max_stalls -> Integer,
        backoff_initial -> Interval,
        backoff_max -> Interval,
        backoff_multiplier -> Double,
        backoff_jitter -> Double,
        heartbeat_interval -> Interval,
        heartbeat_timeout -> Interval,
        start_position -> Text,
        start_id -> Nullable<BigInt>,
        start_at -> Nullable<Timestamptz>,
        subscribed_at -> Timestamptz,
        status_changed_at -> Timestamptz,
        last_heartbeat_at -> Timestamptz,
        caught_up -> Bool,
        owed_from_id -> Nullable<BigInt>,
        start_tick -> BigInt,
    }
}

diesel::table! {
    fanout.outbox_completions (topic_id, id) {
        topic_id -> Integer,
        id -> BigInt,
        completed_at -> Nullable<Timestamptz>,
        required_groups_bitmap -> Binary,
        completed_groups_bitmap -> Binary,
    }
}

diesel::table! {
    fanout.outbox_consumer_groups (topic_id, group_index, id) {
        topic_id -> Integer,
        group_index -> SmallInt,
        id -> BigInt,
    }
}

diesel::table! {
    fanout.outbox_settlements (topic_id, group_index, id) {
        topic_id -> Integer,
        group_index -> SmallInt,
        id -> BigInt,
    }
}

diesel::table! {
    fanout.outbox_topic_watermarks (topic_id) {
        topic_id -> Integer,
        watermark_id -> BigInt,
        decided_id -> BigInt,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    fanout.outbox_seeks (seek_id) {
        seek_id -> BigInt,
        topic_id -> Integer,
        subscription_id -> BigInt,
        group_name -> Text,
        position -> Text,
        start_id -> Nullable<BigInt>,
        tick -> BigInt,
        former_group_index -> SmallInt,
        group_index -> SmallInt,
        sought_at -> Timestamptz,
    }
}

diesel::table! {
    fanout.outbox_dead_letters (dead_letter_id) {
        dead_letter_id -> BigInt,
        topic_name -> Text,
        id -> BigInt,
        group_name -> Text,
        attempts -> Integer,
        reason -> Text,
        last_error -> Nullable<Text>,
        dead_at -> Timestamptz,
        created_at -> Timestamptz,
        key -> Nullable<Text>,
        headers -> Nullable<Jsonb>,
        payload -> Binary,
    }
}

diesel::table! {
    fanout.__diesel_schema_migrations (version) {
        version -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    outbox_topics,
    outbox_topic_storage,
    consumer_group_index,
    outbox_topic_subscriptions,
    outbox_completions,
    outbox_consumer_groups,
    outbox_settlements,
    outbox_dead_letters,
    outbox_seeks,
);
