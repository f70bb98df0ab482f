//! Histories on the memory engine: the acceptor must allow every answer.
#![no_main]

use arbitrary::{Result, Unstructured};
use fanout_core::{CompletionMode, DEFAULT_LANES};
use fanout_tests::handler::{Handler, Handling};
use fanout_tests::history::History;
use fanout_tests::modes::Modes;
use fanout_tests::op::{Bad, Batch, Expire, Keys, Op, Pick, Purpose, Source, Start, Tick};
use fanout_tests::reader::{Channel, LeaseLength, Order, Reader};
use fanout_tests::subject::on_memory;
use libfuzzer_sys::fuzz_target;

const MAX_OPS: usize = 80;

/// One byte a choice, so that a mutation changes one thing.
struct Decoder<'a>(Unstructured<'a>);

impl Decoder<'_> {
    fn below(&mut self, end: u8) -> Result<u8> {
        Ok(self.0.arbitrary::<u8>()? % end)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> Result<T> {
        let index = self.0.arbitrary::<u8>()?;
        Ok(of[usize::from(index) % of.len()])
    }

    fn channel(&mut self) -> Result<Channel> {
        self.one(&Channel::ALL)
    }

    fn reader(&mut self) -> Result<Reader> {
        self.one(&Reader::ALL)
    }

    fn mode(&mut self) -> Result<CompletionMode> {
        self.one(CompletionMode::ALL)
    }

    fn lease(&mut self) -> Result<LeaseLength> {
        self.one(&[LeaseLength::Short, LeaseLength::Long])
    }

    fn source(&mut self) -> Result<Source> {
        self.one(&[Source::Hand, Source::Group, Source::Past, Source::Anybody])
    }

    fn batch(&mut self) -> Result<Batch> {
        let messages = 1 + self.below(4)?;
        let key = self.below(Keys::COUNT)?;
        let keys = self.one(&[
            Keys::None,
            Keys::One(key),
            Keys::EveryOther(key),
            Keys::Round(key),
        ])?;
        Ok(Batch { messages, keys })
    }

    fn start(&mut self) -> Result<Start> {
        let message = self.below(40)?;
        self.one(&[
            Start::Now,
            Start::Beginning,
            Start::Message(message),
            Start::Time(message),
            Start::After(message),
        ])
    }

    fn pick(&mut self) -> Result<Pick> {
        Ok(Pick {
            from: self.below(8)?,
            count: 1 + self.below(4)?,
            twice: self.below(8)? == 7,
        })
    }

    fn op(&mut self) -> Result<Op> {
        Ok(match self.below(32)? {
            0..=2 => Op::Publish {
                channel: self.channel()?,
                batch: self.batch()?,
            },
            3 => Op::Open {
                purpose: self.one(&[Purpose::Transform, Purpose::Settle])?,
            },
            4 => Op::PublishIn {
                tx: self.below(4)?,
                channel: self.channel()?,
                batch: self.batch()?,
            },
            5 | 6 => Op::SettleIn {
                tx: self.below(4)?,
                reader: self.reader()?,
                source: self.source()?,
                pick: self.pick()?,
            },
            7 => Op::Commit { tx: self.below(4)? },
            8 => Op::Rollback { tx: self.below(4)? },
            9 => Op::Migrate {
                channel: self.channel()?,
                mode: self.mode()?,
            },
            10 | 11 => Op::Subscribe {
                reader: self.reader()?,
                lease: self.lease()?,
                start: self.start()?,
            },
            12 => Op::Seek {
                reader: self.reader()?,
                to: self.start()?,
            },
            13 => Op::Pause {
                reader: self.reader()?,
            },
            14 => Op::Resume {
                reader: self.reader()?,
            },
            15 => Op::Cancel {
                reader: self.reader()?,
            },
            16 => Op::Heartbeat {
                reader: self.reader()?,
            },
            17 => Op::Join {
                reader: self.reader()?,
            },
            18 => Op::Beat {
                member: self.below(24)?,
            },
            19 => Op::Crash {
                member: self.below(24)?,
            },
            20 => Op::Leave {
                member: self.below(24)?,
            },
            21..=23 => Op::Fetch {
                member: self.below(24)?,
                limit: 1 + self.below(5)?,
            },
            24..=26 => Op::Handle {
                member: self.below(24)?,
                source: self.source()?,
                pick: self.pick()?,
            },
            27 => Op::Extend {
                member: self.below(24)?,
                source: self.source()?,
                pick: self.pick()?,
                by: self.lease()?,
            },
            28 => Op::Maintain,
            29 => Op::Tick(self.one(&[Tick::Half, Tick::Brink])?),
            30 => Op::Expire(self.one(&[Expire::To, Expire::Beyond, Expire::FarBeyond])?),
            _ => match self.below(8)? {
                0 => Op::Delete {
                    channel: self.channel()?,
                },
                _ => Op::Bad(self.one(&Bad::ALL)?),
            },
        })
    }

    fn history(&mut self) -> Result<(Modes, History)> {
        let modes = self.one(&Modes::ALL)?;
        let blocks_writes = self.below(8)? == 7;
        let how_to_drain = self.below(4)?;
        let mut history = History {
            blocks_writes,
            maintained: how_to_drain % 2 == 1,
            members_stay: how_to_drain >= 2,
            first_mode: self.mode()?,
            lanes: self.one(&[2, 1, 3, DEFAULT_LANES])?,
            orders: [
                self.one(&Order::ALL)?,
                self.one(&Order::ALL)?,
                self.one(&Order::ALL)?,
            ],
            handler: Handler(Vec::new()),
            ops: Vec::new(),
        };
        for _ in 0..=self.below(16)? {
            history.handler.0.push(self.one(&[
                Handling::Done,
                Handling::Fail,
                Handling::Keep,
                Handling::Release,
                Handling::Skip,
            ])?);
        }
        // Every history begins with two groups that are read.
        for number in 0..2 {
            let reader = Reader::Group(number);
            let lease = LeaseLength::Long;
            history.ops.push(Op::Subscribe {
                reader,
                lease,
                start: Start::Now,
            });
            history.ops.push(Op::Join { reader });
        }
        while !self.0.is_empty() && history.ops.len() < MAX_OPS {
            history.ops.push(self.op()?);
        }
        Ok((modes, history))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((modes, history)) = Decoder(Unstructured::new(bytes)).history() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    if let Err(violation) = runtime.block_on(on_memory(&history, modes, |memory| memory)) {
        panic!("{modes}: {violation}\n{history:?}");
    }
});
