//! `fanout topic`.

use std::time::Duration;

use clap::{Args, Subcommand};
use fanout::{
    Backend, BackendExt, CompletionMode, DEFAULT_LANES, DeleteTopic, Semantics, TopicConfig,
    TopicName, TopicUpdate,
};

use crate::failure::{Failure, Result, complain};
use crate::output::Output;
use crate::record::Record;
use crate::topic_migrate::TopicMigrate;
use crate::{database, duration, view};

#[derive(Debug, Args)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which mode fits a number of groups; needs no database.
    Recommend {
        /// How many groups the topic is expected to have.
        #[arg(long, value_name = "N")]
        groups: usize,
    },
    #[command(flatten)]
    Stored(Stored),
}

/// What needs a database.
#[derive(Debug, Subcommand)]
enum Stored {
    /// Create a topic.
    Create {
        topic: TopicName,
        #[command(flatten)]
        fixed: Fixed,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change what may change of a topic; what is not given stays.
    Update {
        topic: TopicName,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change how new messages of a topic are accounted for, while it is used.
    Migrate(TopicMigrate),
    /// Show a topic.
    Get { topic: TopicName },
    /// Show all topics.
    List,
    /// Show up to where all groups that count have settled a topic: `watermark`; up to where all
    /// messages have committed or rolled back: `decided`; and how many ids lie between: `lag`.
    Watermark { topic: TopicName },
    /// Delete a topic with its messages and subscriptions; dead letters stay.
    Delete {
        topic: TopicName,
        /// Also when groups still owe settlements.
        #[arg(long)]
        force: bool,
    },
    /// Say whether a topic exists: exit code 0 if it does, 4 if not.
    Exists { topic: TopicName },
}

/// What is fixed at creation.
#[derive(Debug, Args)]
struct Fixed {
    /// `pub-sub`: every group gets every message; `queue`: one built-in group does.
    #[arg(long, default_value_t = Semantics::default())]
    semantics: Semantics,
    /// Short for `--semantics queue`.
    #[arg(long, conflicts_with = "semantics")]
    queue: bool,
    /// How completion is accounted for: `reference-counting` or `offset-watermark`
    /// [default: reference-counting].
    #[arg(long, value_name = "MODE", alias = "completion-mode")]
    mode: Option<CompletionMode>,
    /// Take the mode that fits so many groups.
    #[arg(long, value_name = "N", conflicts_with = "mode")]
    expected_groups: Option<usize>,
    /// Number of lanes, the units of order.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LANES)]
    lanes: u16,
}

/// What can be changed.
#[derive(Debug, Args)]
struct Settings {
    /// How long a message is kept after all have settled it [default: 24h].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    message_retention: Option<Duration>,
    /// How long a message that no group was subscribed for is kept [default: 24h].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    zero_subscription_retention: Option<Duration>,
    /// Refuse to publish while no group is subscribed [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    block_writes_on_zero_subscriptions: Option<bool>,
    /// After how long a message is dropped regardless [default: 30d].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_retention: Option<Duration>,
    /// The time that one leaf of the log should cover [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    partition_interval: Option<Duration>,
    /// Keep settlements in the audit ledger [default: false].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    audit: Option<bool>,
}

impl From<Settings> for TopicUpdate {
    fn from(settings: Settings) -> Self {
        Self {
            message_retention: settings.message_retention,
            zero_subscription_retention: settings.zero_subscription_retention,
            block_writes_on_zero_subscriptions: settings.block_writes_on_zero_subscriptions,
            max_retention: settings.max_retention,
            partition_interval: settings.partition_interval,
            audit: settings.audit,
        }
    }
}

fn config(fixed: &Fixed, settings: Settings) -> Result<TopicConfig> {
    let recommended = CompletionMode::recommended(fixed.expected_groups);
    let config = TopicConfig {
        semantics: if fixed.queue {
            Semantics::Queue
        } else {
            fixed.semantics
        },
        completion_mode: fixed.mode.unwrap_or(recommended.mode),
        lanes: fixed.lanes,
        ..TopicConfig::default()
    };
    Ok(TopicUpdate::from(settings).apply(&config)?)
}

impl TopicArgs {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        match self.command {
            Command::Recommend { groups } => output.record(&recommendation(groups)),
            Command::Stored(command) => command.run(&*database::connect(url).await?, output).await,
        }
    }
}

fn recommendation(groups: usize) -> Record {
    let recommended = CompletionMode::recommended(Some(groups));
    Record::new()
        .with("groups", groups)
        .with("mode", recommended.mode.as_str())
        .with("warning", recommended.warning)
}

impl Stored {
    async fn run(self, backend: &dyn Backend, output: &mut Output) -> Result<()> {
        match self {
            Self::Create {
                topic,
                fixed,
                settings,
            } => {
                let made = backend
                    .create_topic(&topic, config(&fixed, settings)?)
                    .await?;
                let recommended = CompletionMode::recommended(fixed.expected_groups);
                if let Some(warning) = recommended.warning {
                    complain(&format!("warning: {warning}"));
                }
                output.record(&view::topic(&made))
            }
            Self::Watermark { topic } => {
                let watermark = backend.watermark(&topic).await?;
                output.record(&view::watermark(&topic, &watermark))
            }
            Self::Update { topic, settings } => {
                let updated = backend.update_topic(&topic, settings.into()).await?;
                output.record(&view::topic(&updated))
            }
            Self::Migrate(migrate) => migrate.run(backend, output).await,
            Self::Get { topic } => output.record(&view::topic(&backend.topic(&topic).await?)),
            Self::List => {
                let topics = backend.topics().await?;
                let records: Vec<_> = topics.iter().map(view::topic).collect();
                let columns = [
                    "name",
                    "semantics",
                    "completion_mode",
                    "lanes",
                    "created_at",
                ];
                output.records(&columns, &records)
            }
            Self::Delete { topic, force } => {
                let mode = if force {
                    DeleteTopic::Forced
                } else {
                    DeleteTopic::IfSettled
                };
                backend.delete_topic(&topic, mode).await?;
                output.record(&Record::new().with("deleted", topic.as_str()))
            }
            Self::Exists { topic } => {
                let exists = backend.topic_exists(&topic).await?;
                if output.is_json() {
                    output.json(&Record::new().with("exists", exists))?;
                } else {
                    output.line(exists)?;
                }
                if exists { Ok(()) } else { Err(Failure::No) }
            }
        }
    }
}
