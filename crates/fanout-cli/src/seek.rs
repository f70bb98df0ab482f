//! `fanout subscription seek`.

use fanout::{Backend, GroupName, GroupStats, StartPosition, TopicName};

use crate::failure::Result;
use crate::input::position_text;
use crate::record::Record;

/// Moves a group and tells from where to where, in figures that are read before and after: what is
/// published or settled meanwhile is in them too.
pub(crate) async fn seek(
    backend: &dyn Backend,
    topic: &TopicName,
    group: &GroupName,
    to: StartPosition,
) -> Result<Record> {
    // A group that cannot be moved has no figures, and an error below.
    let before = figures(backend, topic, group).await?;
    let moved = backend.seek(topic, group, to).await?;
    let after = figures(backend, topic, group).await?;
    let pending = |stats: &Option<GroupStats>| stats.as_ref().map(|stats| stats.pending);
    let lowest = |stats: &Option<GroupStats>| Some(stats.as_ref()?.lowest_unsettled?.get());
    Ok(Record::new()
        .with("topic", moved.topic.as_str())
        .with("group", moved.group.as_str())
        .with("status", moved.status.as_str())
        .with("moved_to", position_text(to))
        .with("lowest_unsettled_before", lowest(&before))
        .with("lowest_unsettled", lowest(&after))
        .with("pending_before", pending(&before))
        .with("pending", pending(&after))
        .with("group_index", moved.group_index.get()))
}

async fn figures(
    backend: &dyn Backend,
    topic: &TopicName,
    group: &GroupName,
) -> Result<Option<GroupStats>> {
    let all = backend.stats(topic).await?;
    Ok(all.into_iter().find(|stats| stats.group == *group))
}
