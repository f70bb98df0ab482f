//! `fanout subscription`.

use std::time::Duration;

use clap::{Args, Subcommand};
use fanout::{
    Backend, ErrorKind, GroupName, MessageId, OnFailure, Ordering, StartPosition, Subscribe,
    SubscriptionOptions, TopicName,
};

use crate::failure::Result;
use crate::output::Output;
use crate::record::Record;
use crate::seek::seek;
use crate::{database, duration, input, view};

#[derive(Debug, Args)]
pub(crate) struct SubscriptionArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Of {
    topic: TopicName,
    group: GroupName,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Subscribe a group, or change the options of its subscription; what is not given stays.
    #[command(visible_alias = "create")]
    Subscribe {
        #[command(flatten)]
        of: Of,
        /// Where to start: `now`, `beginning`, `message:ID` or `timestamp:TIME`, the time in
        /// RFC 3339. Ignored when subscribed already.
        #[arg(long, value_name = "POSITION", default_value = "now",
              value_parser = input::position)]
        from: StartPosition,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Move a group, to replay messages or to skip them. Owed is then all from the position on,
    /// settled before or not; what is in hand is void, and attempts are counted from 1.
    Seek {
        #[command(flatten)]
        of: Of,
        /// Where to: `now`, `beginning`, `message:ID` or `timestamp:TIME`, the time in RFC 3339.
        #[arg(long, value_name = "POSITION", value_parser = input::position)]
        to: StartPosition,
    },
    /// Stop delivery; messages accumulate.
    Pause(Of),
    /// Continue delivery.
    Resume(Of),
    /// End the subscription for good.
    Cancel(Of),
    /// Give a sign of life.
    Heartbeat(Of),
    /// Show the latest subscription of a group.
    Get(Of),
    /// Show all subscriptions of a topic, cancelled ones included.
    List { topic: TopicName },
    /// Show where each group of a topic stands.
    Stats { topic: TopicName },
    /// Show the ids of messages that a group owes a settlement.
    Pending {
        #[command(flatten)]
        of: Of,
        /// Only ids above this one.
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: i64,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
}

/// How to deliver.
#[derive(Debug, Args)]
struct Settings {
    /// `unordered` or `per-key`; fixed for the life of the subscription [default: unordered].
    #[arg(long)]
    ordering: Option<Ordering>,
    /// What a failure does to messages behind it: `park` lets them go on, `block` lets them wait,
    /// with `per-key` only [default: park].
    #[arg(long, value_name = "POLICY")]
    on_failure: Option<OnFailure>,
    /// How long a member may hold a message [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    lease: Option<Duration>,
    /// Failed attempts after which a message is given up [default: 5].
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,
    /// Expired leases after which a message is given up [default: 5].
    #[arg(long, value_name = "N")]
    max_stalls: Option<u32>,
    /// The wait after the first failure [default: 1s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_initial: Option<Duration>,
    /// The longest wait after a failure [default: 5m].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    backoff_max: Option<Duration>,
    /// By what each failure multiplies the wait [default: 2].
    #[arg(long, value_name = "NUMBER")]
    backoff_multiplier: Option<f64>,
    /// How far waits are spread, from 0 to 1 [default: 0.2].
    #[arg(long, value_name = "NUMBER")]
    backoff_jitter: Option<f64>,
    /// How often the group gives a sign of life [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    heartbeat_interval: Option<Duration>,
    /// After how long without one it is dead [default: 240s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    heartbeat_timeout: Option<Duration>,
}

impl Settings {
    fn over(&self, mut options: SubscriptionOptions) -> SubscriptionOptions {
        fn set<T: Copy>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        set(&mut options.ordering, self.ordering);
        set(&mut options.on_failure, self.on_failure);
        set(&mut options.lease, self.lease);
        set(&mut options.max_attempts, self.max_attempts);
        set(&mut options.max_stalls, self.max_stalls);
        set(&mut options.backoff.initial, self.backoff_initial);
        set(&mut options.backoff.max, self.backoff_max);
        set(&mut options.backoff.multiplier, self.backoff_multiplier);
        set(&mut options.backoff.jitter, self.backoff_jitter);
        set(&mut options.heartbeat_interval, self.heartbeat_interval);
        set(&mut options.heartbeat_timeout, self.heartbeat_timeout);
        options
    }
}

impl SubscriptionArgs {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let backend = database::connect(url).await?;
        let changed = match self.command {
            Command::Subscribe { of, from, settings } => {
                let present = present_options(&*backend, &of).await?;
                let subscribe = Subscribe {
                    start: from,
                    options: settings.over(present),
                };
                backend.subscribe(&of.topic, &of.group, subscribe).await?
            }
            Command::Seek { of, to } => {
                return output.record(&seek(&*backend, &of.topic, &of.group, to).await?);
            }
            Command::Pause(of) => backend.pause(&of.topic, &of.group).await?,
            Command::Resume(of) => backend.resume(&of.topic, &of.group).await?,
            Command::Cancel(of) => backend.cancel(&of.topic, &of.group).await?,
            Command::Heartbeat(of) => backend.heartbeat(&of.topic, &of.group).await?,
            Command::Get(of) => backend.subscription(&of.topic, &of.group).await?,
            Command::List { topic } => {
                let all = backend.subscriptions(&topic).await?;
                let records: Vec<_> = all.iter().map(view::subscription).collect();
                let columns = ["group", "status", "ordering", "lease", "subscribed_at"];
                return output.records(&columns, &records);
            }
            Command::Stats { topic } => {
                let all = backend.stats(&topic).await?;
                let records: Vec<_> = all.iter().map(view::stats).collect();
                let columns = [
                    "group",
                    "status",
                    "pending",
                    "in_flight",
                    "delayed",
                    "dead_letters",
                    "lag",
                ];
                return output.records(&columns, &records);
            }
            Command::Pending { of, after, limit } => {
                let ids = backend
                    .pending(&of.topic, &of.group, MessageId(after), limit)
                    .await?;
                let record = |id: &MessageId| Record::new().with("id", id.get());
                let records: Vec<_> = ids.iter().map(record).collect();
                return output.records(&["id"], &records);
            }
        };
        output.record(&view::subscription(&changed))
    }
}

/// The options of the group's subscription; the defaults when it has none.
async fn present_options(backend: &dyn Backend, of: &Of) -> Result<SubscriptionOptions> {
    match backend.subscription(&of.topic, &of.group).await {
        Ok(present) if present.status.is_live() => Ok(present.options),
        Ok(_) => Ok(SubscriptionOptions::default()),
        Err(error) if error.kind() == ErrorKind::SubscriptionNotFound => {
            Ok(SubscriptionOptions::default())
        }
        Err(error) => Err(error.into()),
    }
}
