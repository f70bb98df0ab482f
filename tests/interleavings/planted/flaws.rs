//! The mistakes.

use super::Flaw;

/// A tick's lock and snapshot are of one statement: the snapshot may be older than the newest tick.
pub(super) const TICK_IN_ONE_STATEMENT: Flaw = Flaw {
    name: "lock and snapshot of a tick in one statement",
    function: "create_topic_cursor_functions",
    edits: &[
        (
            "        PERFORM pg_advisory_xact_lock(fanout.tick_lock_class(), %1$s);\n",
            "        SELECT pg_current_snapshot() INTO now
            FROM pg_advisory_xact_lock(fanout.tick_lock_class(), %1$s);\n",
        ),
        (
            "    SELECT * INTO prev FROM fanout.outbox_ticks t
    WHERE t.topic_id = %1$s ORDER BY t.tick DESC LIMIT 1;
    now := pg_current_snapshot();\n",
            "    now := coalesce(now, pg_current_snapshot());\n",
        ),
        (
            "SELECT %1$s, nextval('fanout.ticks'), pg_current_snapshot(),",
            "SELECT %1$s, nextval('fanout.ticks'), now,",
        ),
    ],
};

/// A tick takes new messages for those with ids above the last ones.
pub(super) const TICK_BY_IDS: Flaw = Flaw {
    name: "a tick looks for ids above the last",
    function: "create_topic_cursor_functions",
    edits: &[(
        "o.id > prev.decided_id AND o.tx >= open.tx",
        "o.id >= upper(prev.id_ranges) AND o.tx >= open.tx",
    )],
};

pub(super) const LOOK_FORGETS_ROWS: Flaw = Flaw {
    name: "a change of mode forgets tracking rows",
    function: "create_topic_cursor_functions",
    edits: &[(
        "t.id > u.floor AND NOT t.parked)",
        "t.id > u.floor AND NOT t.parked AND tracks)",
    )],
};

pub(super) const COMMIT_WITHOUT_EPOCH: Flaw = Flaw {
    name: "cursors are committed without a look at epoch and version",
    function: "commit_cursors",
    edits: &[("AND o.epoch = u.epoch AND o.version = u.version", "")],
};

pub(super) const COMMIT_WITHOUT_SETTLEMENTS: Flaw = Flaw {
    name: "cursors are committed over settlements of transactions",
    function: "commit_cursors",
    edits: &[(
        "WHERE k.place = u.place AND k.id = f.id))",
        "WHERE k.place = u.place AND k.id = f.id) AND false)",
    )],
};

const STALE_LANES: &str = "    IF valid < cardinality(ids) THEN";

/// The check stands before the insertion.
pub(super) const SETTLE_LANES_CHECKS_FIRST: Flaw = Flaw {
    name: "settlements by cursor are checked before they are inserted",
    function: "settle_lanes_in",
    edits: &[
        (
            "    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id, lane)
    SELECT s.topic_id, s.group_index, u.id, u.lane FROM unnest(ids, wanted) AS u (id, lane) ORDER BY u.id;\n",
            "",
        ),
        (
            STALE_LANES,
            "    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id, lane)
    SELECT s.topic_id, s.group_index, u.id, u.lane FROM unnest(ids, wanted) AS u (id, lane) ORDER BY u.id;
    IF valid < cardinality(ids) THEN",
        ),
    ],
};

/// The same for tracked messages.
pub(super) const SETTLE_IN_CHECKS_FIRST: Flaw = Flaw {
    name: "settlements of rows are checked before they are inserted",
    function: "settle_in",
    edits: &[
        (
            "    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id)
    SELECT s.topic_id, s.group_index, id FROM unnest(ids) AS id ORDER BY id;\n",
            "",
        ),
        (
            STALE_LANES,
            "    INSERT INTO fanout.outbox_settlements (topic_id, group_index, id)
    SELECT s.topic_id, s.group_index, id FROM unnest(ids) AS id ORDER BY id;
    IF valid < cardinality(ids) THEN",
        ),
    ],
};

pub(super) const SETTLE_IGNORES_TOKENS: Flaw = Flaw {
    name: "settlements of rows ignore the token",
    function: "create_topic_functions",
    edits: &[("u.token IS NULL OR t.lease_token = u.token AND", "true OR")],
};

pub(super) const CLAIM_IGNORES_LEASES: Flaw = Flaw {
    name: "claims ignore leases",
    function: "create_topic_functions",
    edits: &[(
        "AND t.id > floor AND NOT t.parked
                AND (t.leased_until IS NULL OR t.leased_until <= moment)",
        "AND t.id > floor AND NOT t.parked",
    )],
};

pub(super) const CLAIM_IGNORES_SETTLEMENTS: Flaw = Flaw {
    name: "claims ignore settlements of transactions",
    function: "create_topic_functions",
    edits: &[(
        "(t.available_at IS NULL OR t.available_at <= moment)
                AND (SELECT true FROM fanout.outbox_settlements s
                     WHERE s.topic_id = %1$s AND s.group_index = grp AND s.id = t.id) IS NULL",
        "(t.available_at IS NULL OR t.available_at <= moment)",
    )],
};

pub(super) const CATCH_UP_WAITS_FOR_NOBODY: Flaw = Flaw {
    name: "catching up awaits no publishers",
    function: "catch_up",
    edits: &[(
        "done := added < n AND cardinality(s.catch_up_publishers) = 0;",
        "done := added < n;",
    )],
};

pub(super) const TRACKED_UNDER_OLD_SNAPSHOTS: Flaw = Flaw {
    name: "messages are tracked above read committed",
    function: "is_tracked",
    edits: &[("RETURN false;", "RETURN mode = 'reference-counting';")],
};

pub(super) const CURSORS_BEGIN_AT_THE_NEWEST: Flaw = Flaw {
    name: "cursors begin at the newest tick, not at that of the subscription",
    function: "create_cursors",
    edits: &[(
        "BEGIN\n",
        "BEGIN
    SELECT max(k.tick) INTO start_tick FROM fanout.outbox_ticks k WHERE k.topic_id = topic;\n",
    )],
};

pub(super) const TAKES_OWNED_LANES: Flaw = Flaw {
    name: "lanes are taken before their leases end",
    function: "hold_lanes",
    edits: &[("(l.owner IS NULL OR l.expires_at <= moment)", "true")],
};

pub(super) const ADVANCES_OVER_WHAT_IS_OWED: Flaw = Flaw {
    name: "maintenance moves cursors over what is owed",
    function: "advance_free_lanes",
    edits: &[("AND o.lane <> ALL (owing) ", "")],
};

pub(super) const SEEK_KEEPS_CURSORS: Flaw = Flaw {
    name: "cursors stay when a group is cancelled or sought",
    function: "drop_cursors",
    edits: &[(
        "    DELETE FROM fanout.outbox_subscription_offsets o WHERE o.topic_id = topic AND o.group_index = grp;\n",
        "",
    )],
};

/// An unordered group skips what a tick says holds nothing for it.
pub(super) const TICK_COUNTS_WRONGLY: Flaw = Flaw {
    name: "a tick counts no untracked messages",
    function: "create_topic_cursor_functions",
    edits: &[(
        "t.messages, t.untracked, decided,",
        "t.messages, 0, decided,",
    )],
};

pub(super) const CATCH_UP_SETS_NO_BIT: Flaw = Flaw {
    name: "catching up sets no bit",
    function: "catch_up",
    edits: &[(
        "set_bit(fanout.widened(c.required_groups_bitmap, $2), $2, 1)",
        "set_bit(fanout.widened(c.required_groups_bitmap, $2), $2, 0)",
    )],
};

pub(super) const REFUSED_UNDER_OLD_SNAPSHOTS: Flaw = Flaw {
    name: "publishing above read committed is refused",
    function: "is_tracked",
    edits: &[(
        "RETURN false;",
        "RAISE EXCEPTION 'isolation' USING CONSTRAINT = 'fanout_isolation';",
    )],
};

pub(super) const PUBLISHES_ANOTHER: Flaw = Flaw {
    name: "a publish writes a message more",
    function: "publish",
    edits: &[(
        "FROM unnest(ids, payloads, keys, headers) AS m (id, payload, key, headers);",
        "FROM (SELECT * FROM unnest(ids, payloads, keys, headers)
            UNION ALL SELECT nextval(t.id_sequence), 'another', NULL, NULL) AS m (id, payload, key, headers);",
    )],
};

pub(super) const COMMIT_KEEPS_THE_VERSION: Flaw = Flaw {
    name: "a commit does not raise the version",
    function: "commit_cursors",
    edits: &[(
        "ELSE o.stalls END, version = o.version + 1",
        "ELSE o.stalls END",
    )],
};

pub(super) const WATERMARK_IGNORES_CURSORS: Flaw = Flaw {
    name: "the watermark does not wait for cursors",
    function: "refresh_watermark",
    edits: &[(
        "SELECT fanout.cursor_bound(topic, g.group_index, g.ordered, w.watermark_id, w.decided_id, is_exact)
            FROM groups g",
        "SELECT NULL::bigint",
    )],
};
