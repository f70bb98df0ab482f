//! Upkeep that no call of a consumer or publisher does.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use fanout_core::{Error, MaintenanceReport, Result, Timestamp, TopicId};

use crate::error::ResultExt;
use crate::reference_counting::BATCH;
use crate::storage::{
    beginnings, cursors, group_bits, log, settlements, subscriptions, ticks, topics, tracking,
    upkeep, watermarks,
};

/// Does what is due, once, for all topics. A topic that fails does not keep others from theirs; the
/// first failure is returned at the end.
pub(crate) async fn maintain(
    connection: &mut AsyncPgConnection,
    now: Option<Timestamp>,
) -> Result<MaintenanceReport> {
    let mut report = MaintenanceReport::default();
    let mut failure: Option<Error> = None;
    for topic in upkeep::topics(connection).await? {
        if let Err(error) = maintain_topic(connection, topic, now, &mut report).await {
            failure.get_or_insert(error);
        }
    }
    for topic in topics::deleted(connection).await? {
        topics::drop_storage(connection, topic).await?;
    }
    failure.map_or(Ok(report), Err)
}

async fn maintain_topic(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    now: Option<Timestamp>,
    report: &mut MaintenanceReport,
) -> Result<()> {
    report.leaves_created += log::ensure_leaves(connection, topic).await.committing()?;
    for group in settlements::unfolded(connection, topic).await? {
        loop {
            let folded = settlements::fold(connection, topic, group, BATCH, now).await?;
            report.settlements_folded += folded;
            if folded == 0 {
                break;
            }
        }
    }
    report.settlements_folded += settlements::sweep_lanes(connection, topic).await?;
    for subscription in beginnings::catching_up(connection, topic).await? {
        if beginnings::catch_up_now(connection, subscription, BATCH).await? {
            report.subscriptions_caught_up += 1;
        }
    }
    group_bits::free(connection, topic).await?;
    for group in group_bits::released(connection, topic).await? {
        loop {
            let reaped = tracking::reap(connection, topic, group, BATCH, now).await?;
            report.rows_reaped += reaped;
            if reaped == 0 {
                break;
            }
        }
    }
    let ticked = ticks::tick(connection, topic, false, Duration::ZERO).await?;
    report.ticks_taken += u64::from(ticked.taken);
    for (_, group) in subscriptions::live_bits(connection, topic).await? {
        report.cursors_advanced += cursors::advance_free(connection, topic, group, now).await?;
    }
    cursors::forget_strays(connection, topic).await?;
    loop {
        let merged = watermarks::merge_ticks(connection, topic, BATCH).await?;
        report.ticks_merged += merged;
        if merged == 0 {
            break;
        }
    }
    let moved = watermarks::refresh(connection, topic, now).await?;
    report.watermarks_moved += u64::from(moved);
    Ok(())
}
