//! Mistakes in SQL: changes of the functions that the migrations made.

use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query};

use fanout_core::planted::Mistake;

/// A function, and what is to be replaced in it by what.
type Patch = (&'static str, &'static [(&'static str, &'static str)]);

const CURSOR_FUNCTIONS: &str = "fanout.create_topic_cursor_functions(int)";
const TOPIC_FUNCTIONS: &str = "fanout.create_topic_functions(int)";

/// How a mistake changes the functions; none for one in Rust.
fn patches(mistake: Mistake) -> &'static [Patch] {
    match mistake {
        Mistake::TickSeesBeforeLock => &[(
            CURSOR_FUNCTIONS,
            &[
                (
                    "    IF wait THEN\n",
                    "    now := pg_current_snapshot();\n    IF wait THEN\n",
                ),
                (
                    "    now := pg_current_snapshot();\n    IF pg_snapshot_xmax(prev.snapshot)",
                    "    IF pg_snapshot_xmax(prev.snapshot)",
                ),
                (
                    "IF pg_snapshot_xmax(prev.snapshot) > pg_snapshot_xmax(now)",
                    "IF false AND pg_snapshot_xmax(prev.snapshot) > pg_snapshot_xmax(now)",
                ),
                (
                    "OR pg_snapshot_xmin(prev.snapshot) > pg_snapshot_xmin(now)\n    THEN",
                    "AND pg_snapshot_xmin(prev.snapshot) > pg_snapshot_xmin(now)\n    THEN",
                ),
                (
                    "nextval('fanout.ticks'), pg_current_snapshot(),",
                    "nextval('fanout.ticks'), now,",
                ),
                ("WHERE t.messages > 0\n", "WHERE t.messages > 0 OR wait\n"),
                (
                    "t.messages, t.untracked, decided,",
                    "coalesce(t.messages, 0), coalesce(t.untracked, 0), decided,",
                ),
                (
                    "CASE WHEN t.high - t.low <",
                    "CASE WHEN t.messages = 0 THEN '{}'::int8multirange WHEN t.high - t.low <",
                ),
            ],
        )],
        Mistake::ReadsIdsAboveLast => &[(
            CURSOR_FUNCTIONS,
            &[
                (
                    "        WHERE pg_visible_in_snapshot(f.tx, b) AND NOT",
                    "        WHERE f.id >= last AND pg_visible_in_snapshot(f.tx, b) AND NOT",
                ),
                (
                    "                AND o.tx >= old AND pg_visible_in_snapshot(o.tx, b) AND NOT",
                    "                AND o.id >= last AND o.tx >= old AND pg_visible_in_snapshot(o.tx, b) AND NOT",
                ),
                (
                    "    old := pg_snapshot_xmin(a);\n",
                    "    old := pg_snapshot_xmin(a);
    last := coalesce((SELECT max(upper(k.id_ranges)) FROM fanout.outbox_ticks k
        WHERE k.topic_id = %1$s AND k.tick <= from_tick), 0);\n",
                ),
                ("    old xid8;\n", "    old xid8;\n    last bigint;\n"),
            ],
        )],
        Mistake::IgnoresEpoch => &[(
            "fanout.commit_cursors",
            &[(
                "            AND o.epoch = u.epoch AND o.version = u.version\n",
                "",
            )],
        )],
        Mistake::SettlesTwice => &[(
            "fanout.commit_cursors",
            &[(
                "                    AND NOT EXISTS (SELECT FROM unnest(known_places, known_ids) AS k (place, id)
                        WHERE k.place = u.place AND k.id = f.id))",
                "                    AND false)",
            )],
        )],
        Mistake::StartsOffByOne => &[(
            "fanout.create_cursors",
            &[("ELSE owed_from - 1 END", "ELSE owed_from END")],
        )],
        Mistake::CatchesUpOnce => &[(
            "fanout.catch_up",
            &[(
                "done := added < n AND cardinality(s.catch_up_publishers) = 0;",
                "done := added < n;",
            )],
        )],
        Mistake::SkipsTrackingRow => &[(
            "fanout.outbox_after_insert",
            &[(
                "        WHERE topic_id = topic AND tracked\n        ORDER BY g, id;",
                "        WHERE topic_id = topic AND tracked AND (g > groups[1] OR lane > 0)\n        ORDER BY g, id;",
            )],
        )],
        Mistake::TracksInOldSnapshots => &[(
            "fanout.is_tracked",
            &[(
                "    RETURN false;\n",
                "    RETURN mode = 'reference-counting';\n",
            )],
        )],
        Mistake::IgnoresToken => &[(
            TOPIC_FUNCTIONS,
            &[
                ("AND (u.token IS NULL OR t.lease_token = u.token)", ""),
                (
                    "AND (u.token IS NULL OR t.lease_token = u.token AND (NOT unfolded OR",
                    "AND (u.token IS NULL OR (NOT unfolded OR",
                ),
            ],
        )],
        Mistake::SettlesForNonMembers => &[(
            TOPIC_FUNCTIONS,
            &[(
                "array_agg(gone.id) FILTER (WHERE NOT gone.parked)\n    INTO applied, records FROM gone;",
                "ids\n    INTO applied, records FROM gone;",
            )],
        )],
        Mistake::SettlesUnchecked => &[
            (
                "fanout.settle_in",
                &[("IF valid < cardinality(ids) THEN", "IF false THEN")],
            ),
            (
                "fanout.settle_lanes_in",
                &[("IF valid < cardinality(ids) THEN", "IF false THEN")],
            ),
        ],
        Mistake::FoldsNothing => &[(
            "fanout.fold",
            &[("    IF FOUND THEN\n", "    IF false THEN\n")],
        )],
        Mistake::FoldsTwice => &[(
            "fanout.fold",
            &[(
                "AND o.id = ANY (ids);",
                "AND o.id = ANY (ids) AND nextval('fanout.lease_tokens') % 2 = 0;",
            )],
        )],
        Mistake::DecidesBackwards => &[(
            "fanout.observe_publishers",
            &[
                (
                    "    drawn := fanout.drawn_id(topic);\n",
                    "    publishers := fanout.publishers(topic);\n",
                ),
                (
                    "    publishers := fanout.publishers(topic);\n    remaining",
                    "    drawn := fanout.drawn_id(topic);\n    remaining",
                ),
            ],
        )],
        Mistake::MergesTicksInUse => &[(
            "fanout.free_ticks",
            &[("WHERE used.tick = k.tick)", "WHERE false)")],
        )],
        Mistake::MarksUnsettled => &[(
            "fanout.refresh_watermark",
            &[(
                "SELECT fanout.cursor_bound(topic, g.group_index, g.ordered, w.watermark_id, w.decided_id, is_exact)\n            FROM groups g",
                "SELECT NULL::bigint",
            )],
        )],
        Mistake::RemainsNothingYet => &[(
            "fanout.group_remaining",
            &[("greatest((NOT s.caught_up)::int, (", "greatest(0, (")],
        )],
        Mistake::RemainsSettled => &[(
            "fanout.group_remaining",
            &[("f.group_index = s.group_index AND f.id = t.id)", "f.id < 0)")],
        )],
        _ => &[],
    }
}

#[derive(QueryableByName)]
struct Definition {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Makes a mistake in the functions of a database that was just migrated.
///
/// # Panics
/// When a function does not read as it is expected to: then the mistake must be written anew.
pub(crate) fn apply<Connection>(
    connection: &mut Connection,
    mistake: Mistake,
) -> diesel::QueryResult<()>
where
    Connection: diesel::connection::LoadConnection<Backend = diesel::pg::Pg> + SimpleConnection,
{
    for (function, edits) in patches(mistake) {
        let by_name = if function.contains('(') {
            "regprocedure"
        } else {
            "regproc"
        };
        let found: Definition = sql_query(format!(
            "SELECT pg_get_functiondef('{function}'::{by_name}) AS text"
        ))
        .get_result(connection)?;
        let mut text = found.text;
        for (from, to) in *edits {
            assert!(
                text.contains(from),
                "{mistake:?}: {function} has no `{from}`"
            );
            text = text.replace(from, to);
        }
        connection.batch_execute(&text)?;
    }
    Ok(())
}
