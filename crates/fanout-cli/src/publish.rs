//! `fanout publish`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::thread;

use clap::Args;
use fanout::{Headers, MAX_PAYLOAD_BYTES, MessageId, NewMessage, TopicName};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result, complain};
use crate::output::Output;
use crate::record::Record;
use crate::{database, input};

/// A batch is closed when its payloads have so many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Lines that are read ahead.
const AHEAD: usize = 2_000;

#[derive(Debug, Args)]
pub(crate) struct Publish {
    topic: TopicName,
    /// Payloads, a message each. Without any, and without a file, each line of standard input is
    /// one.
    #[arg(value_name = "PAYLOAD")]
    payloads: Vec<String>,
    /// The key of all messages.
    #[arg(long)]
    key: Option<String>,
    /// A header of all messages; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = input::header)]
    header: Vec<(String, String)>,
    /// Publish this file as one message; `-` is standard input.
    #[arg(long, value_name = "PATH", conflicts_with = "payloads")]
    file: Option<PathBuf>,
    /// Publish each line of the file as a message.
    #[arg(long, conflicts_with = "payloads")]
    lines: bool,
    /// At most so many messages in a transaction.
    #[arg(long, value_name = "N", default_value_t = 500,
          value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

impl Publish {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let mut source = Source::open(&self)?;
        let backend = database::connect(url).await?;
        let headers: Headers = self.header.iter().cloned().collect();
        let mut published = 0_u64;
        let mut range: Option<(MessageId, MessageId)> = None;
        while let Some(payloads) = source.next(self.batch as usize).await.transpose() {
            let done = match payloads {
                Ok(payloads) => {
                    let message = |payload: Vec<u8>| NewMessage {
                        key: self.key.clone(),
                        headers: headers.clone(),
                        payload: payload.into(),
                    };
                    let messages = payloads.into_iter().map(message).collect();
                    let done = backend.publish(&self.topic, messages).await;
                    done.map_err(Failure::from)
                }
                Err(failure) => Err(failure),
            };
            let ids = done.inspect_err(|_| {
                if published > 0 {
                    complain(&format!("note: published={published} before the error"));
                }
            })?;
            published += ids.len() as u64;
            if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
                range = Some((range.map_or(*first, |(start, _)| start), *last));
            }
            if output.is_json() {
                let ids: Vec<_> = ids.iter().map(|id| id.get()).collect();
                let record = Record::new().with("topic", self.topic.as_str());
                output.json(&record.with("ids", ids))?;
                output.flush()?;
            }
        }
        if output.is_json() {
            return Ok(());
        }
        match range {
            Some((first, last)) if first == last => {
                output.line(format_args!("published 1 message, id {first}"))
            }
            Some((first, last)) => output.line(format_args!(
                "published {published} messages, ids {first} to {last}"
            )),
            None => output.line("published nothing: the input is empty"),
        }
    }
}

/// Where payloads come from.
enum Source {
    Ready(std::vec::IntoIter<Vec<u8>>),
    Lines(mpsc::Receiver<io::Result<Vec<u8>>>),
}

impl Source {
    fn open(args: &Publish) -> Result<Self> {
        if !args.payloads.is_empty() {
            let payloads = args.payloads.iter().map(|text| text.clone().into_bytes());
            return Ok(Self::Ready(payloads.collect::<Vec<_>>().into_iter()));
        }
        let Some(path) = &args.file else {
            return Ok(Self::Lines(lines_of(io::stdin())));
        };
        let stdin = path.as_os_str() == "-";
        let failed = |error| Failure::io(format!("cannot read file=`{}`", path.display()), error);
        match (stdin, args.lines) {
            (true, true) => Ok(Self::Lines(lines_of(io::stdin()))),
            (false, true) => Ok(Self::Lines(lines_of(fs::File::open(path).map_err(failed)?))),
            (true, false) => Ok(Self::whole(limited(io::stdin()).map_err(failed)?)),
            (false, false) => {
                let file = fs::File::open(path).map_err(failed)?;
                Ok(Self::whole(limited(file).map_err(failed)?))
            }
        }
    }

    fn whole(payload: Vec<u8>) -> Self {
        Self::Ready(vec![payload].into_iter())
    }

    /// What is there, at most `limit` payloads; waits for the first; `None` at the end.
    async fn next(&mut self, limit: usize) -> Result<Option<Vec<Vec<u8>>>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        match self {
            Self::Ready(payloads) => {
                while batch.len() < limit && bytes < BATCH_BYTES {
                    let Some(payload) = payloads.next() else {
                        break;
                    };
                    bytes += payload.len();
                    batch.push(payload);
                }
            }
            Self::Lines(lines) => {
                // Not for a full batch: lines that trickle in are published as they come.
                let mut next = lines.recv().await;
                while let Some(line) = next {
                    let failed = |error| Failure::io("cannot read the input", error);
                    let line = line.map_err(failed)?;
                    bytes += line.len();
                    batch.push(line);
                    if batch.len() == limit || bytes >= BATCH_BYTES {
                        break;
                    }
                    next = lines.try_recv().ok();
                }
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}

/// Reads all, or a little more than a payload may have: the engine then says what the limit is.
fn limited(input: impl Read) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    let limit = MAX_PAYLOAD_BYTES as u64 + 1;
    input.take(limit).read_to_end(&mut payload)?;
    Ok(payload)
}

/// Reads lines in a thread of its own, which nothing has to wait for at the end.
fn lines_of(input: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (lines, receiver) = mpsc::channel(AHEAD);
    thread::spawn(move || {
        let mut input = BufReader::new(input);
        while let Some(line) = line_of(&mut input).transpose() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The next line without its end, cut where it is longer than a payload may be.
fn line_of(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = MAX_PAYLOAD_BYTES as u64 + 2;
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_the_last_needs_none() {
        let mut input: &[u8] = b"a\n\nb\r\nlast";
        let mut lines = Vec::new();
        while let Some(line) = line_of(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, [&b"a"[..], b"", b"b\r", b"last"]);
    }

    #[test]
    fn a_line_beyond_the_limit_is_too_large_rather_than_endless() {
        let long = vec![b'x'; MAX_PAYLOAD_BYTES + 100];
        let line = line_of(&mut &long[..]).unwrap().unwrap();
        assert_eq!(line.len(), MAX_PAYLOAD_BYTES + 2);
    }
}
