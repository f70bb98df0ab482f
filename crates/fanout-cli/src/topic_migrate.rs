//! `fanout topic migrate`.

use clap::Args;
use fanout::{
    Backend, CompletionMode, Migration, MigrationProgress, SubscriptionStatus, TopicName,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::failure::{Failure, Result, complain};
use crate::output::{Output, plain, trimmed};
use crate::record::{Record, printable};
use crate::signal::Interrupt;

#[derive(Debug, Args)]
pub(crate) struct TopicMigrate {
    topic: TopicName,
    /// The mode for new messages: `reference-counting` or `offset-watermark`.
    #[arg(long, value_name = "MODE")]
    to: CompletionMode,
    /// Wait until no active or paused group has anything left of the other mode, and show what is.
    /// Ctrl-C ends the waiting; the mode stays changed. A publisher that was open across the change may
    /// add to the other mode even afterwards; that drains like the rest.
    #[arg(long)]
    wait: bool,
}

impl TopicMigrate {
    pub(crate) async fn run(self, backend: &dyn Backend, output: &mut Output) -> Result<()> {
        // From here on Ctrl-C no longer ends the process without a word.
        let interrupt = Interrupt::listen()?;
        let migration = tokio::select! {
            started = Migration::start(backend, &self.topic, self.to) => started?,
            () = interrupt.requested() => {
                complain("stopped before the change was confirmed; `fanout topic get` tells the mode");
                return Err(Failure::Interrupted);
            }
        };
        let mut board = Board {
            output,
            topic: &self.topic,
            to: self.to,
            changed: migration.has_changed(),
            shown: None,
            drawn: 0,
            warned: false,
        };
        board.begin()?;
        if !self.wait {
            return board.show(&migration.progress().await?);
        }
        let (failed, mut failure) = (Notify::new(), None);
        let waiting = migration.wait_with(|progress| {
            if let Err(error) = board.show(progress) {
                failure.get_or_insert(error);
                failed.notify_one();
            }
        });
        let last = tokio::select! {
            last = waiting => Some(last?),
            () = failed.notified() => None,
            () = interrupt.requested() => None,
        };
        match (failure, last) {
            (Some(failure), _) => Err(failure),
            (None, None) => {
                complain(&format!(
                    "stopped watching; topic `{}` stays in {}",
                    self.topic, self.to
                ));
                Err(Failure::Interrupted)
            }
            (None, Some(last)) if last.mode != self.to => Err(Failure::Refused(format!(
                "somebody has moved the topic back topic=`{}` completion_mode=`{}`",
                self.topic, last.mode
            ))),
            (None, Some(_)) => board.end(),
        }
    }
}

/// What is left, as it becomes less: redrawn in place on a terminal, else told whenever it changes.
#[derive(Debug)]
struct Board<'a> {
    output: &'a mut Output,
    topic: &'a TopicName,
    to: CompletionMode,
    changed: bool,
    shown: Option<MigrationProgress>,
    /// Lines of the last drawing.
    drawn: usize,
    warned: bool,
}

impl Board<'_> {
    fn begin(&mut self) -> Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        let now = if self.changed {
            "from now on"
        } else {
            "already"
        };
        let (topic, to) = (self.topic, self.to);
        self.output
            .line(format_args!("topic `{topic}` is in {to} {now}"))?;
        self.output.flush()
    }

    fn show(&mut self, progress: &MigrationProgress) -> Result<()> {
        if self.shown.as_ref() == Some(progress) {
            return Ok(());
        }
        self.shown = Some(progress.clone());
        if self.output.is_json() {
            self.output.json(&self.record(progress))?;
        } else if self.output.is_terminal() {
            let text = format!("{}\n{}", self.head(progress), table(progress));
            self.drawn = self.output.redraw(self.drawn, &text)?;
        } else {
            let line = self.line(progress);
            self.output.line(line)?;
        }
        self.output.flush()?;
        if !self.warned && only_paused(progress) {
            self.warned = true;
            complain("warning: paused groups keep what they have; resume or cancel them");
            self.drawn = 0;
        }
        Ok(())
    }

    fn head(&self, progress: &MigrationProgress) -> String {
        format!("{} left of {}", progress.messages(), self.to.other())
    }

    fn line(&self, progress: &MigrationProgress) -> String {
        let mut line = self.head(progress);
        for group in progress.groups.iter().filter(|group| group.messages > 0) {
            let name = printable(group.group.as_str());
            line.push_str(&format!(", {name} {}", group.messages));
            if !group.status.delivers() {
                line.push_str(&format!(" ({})", group.status));
            }
        }
        line
    }

    fn record(&self, progress: &MigrationProgress) -> Record {
        let group = |group: &fanout::GroupRemaining| {
            json!({
                "group": group.group.as_str(),
                "status": group.status.as_str(),
                "remaining": group.messages,
            })
        };
        Record::new()
            .with("topic", self.topic.as_str())
            .with("completion_mode", progress.mode.as_str())
            .with("changed", self.changed)
            .with("remaining", progress.messages())
            .with("done", progress.is_done())
            .with(
                "groups",
                Value::Array(progress.groups.iter().map(group).collect()),
            )
    }

    fn end(&mut self) -> Result<()> {
        if self.output.is_json() {
            return Ok(());
        }
        let left = self.to.other();
        self.output.line(format_args!(
            "done: nothing that has committed is left of {left}"
        ))
    }
}

/// Whether groups that are paused have all that is left.
fn only_paused(progress: &MigrationProgress) -> bool {
    let mut owing = progress.groups.iter().filter(|group| group.messages > 0);
    !progress.is_done() && owing.all(|group| group.status == SubscriptionStatus::Paused)
}

fn table(progress: &MigrationProgress) -> String {
    let mut table = plain();
    table.set_header(["group", "status", "left"]);
    for group in &progress.groups {
        table.add_row([
            printable(group.group.as_str()),
            group.status.to_string(),
            group.messages.to_string(),
        ]);
    }
    trimmed(table)
}
