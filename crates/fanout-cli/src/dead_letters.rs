//! `fanout dead-letters`.

use clap::Args;
use fanout::{GroupName, TopicName};

use crate::failure::Result;
use crate::output::Output;
use crate::{database, view};

#[derive(Debug, Args)]
pub(crate) struct DeadLetters {
    topic: TopicName,
    /// Of this group alone.
    group: Option<GroupName>,
    /// At most so many, oldest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

impl DeadLetters {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let backend = database::connect(url).await?;
        let letters = backend
            .dead_letters(&self.topic, self.group.as_ref(), self.limit)
            .await?;
        let records: Vec<_> = letters.iter().map(view::dead_letter).collect();
        let columns = [
            "id",
            "group",
            "reason",
            "attempts",
            "dead_at",
            "last_error",
            "payload",
        ];
        output.records(&columns, &records)
    }
}
