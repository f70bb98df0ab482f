//! Single ops.

use fanout_core::CompletionMode;
use proptest::prelude::*;
use proptest::sample::select;

use crate::handler::Handling;
use crate::op::{Bad, Batch, Expire, Keys, Op, Pick, Purpose, Source, Start, Tick};
use crate::reader::{Channel, LeaseLength, Reader};

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
           9 => (channel(), batch()).prop_map(|(channel, batch)| Op::Publish { channel, batch }),
           20 => transaction(),
           13 => subscription(),
           38 => consumption(),
           4 => Just(Op::Maintain),
    3 => (channel(), mode()).prop_map(|(channel, mode)| Op::Migrate { channel, mode }),
           9 => prop_oneof![
               select(vec![Tick::Half, Tick::Brink]).prop_map(Op::Tick),
               expire().prop_map(Op::Expire),
           ],
           1 => channel().prop_map(|channel| Op::Delete { channel }),
           3 => select(Bad::ALL.to_vec()).prop_map(Op::Bad),
       ]
}

fn transaction() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => select(vec![Purpose::Transform, Purpose::Settle])
            .prop_map(|purpose| Op::Open { purpose }),
        5 => (0..4_u8, channel(), batch())
            .prop_map(|(tx, channel, batch)| Op::PublishIn { tx, channel, batch }),
        7 => (0..4_u8, reader(), source(), pick())
            .prop_map(|(tx, reader, source, pick)| Op::SettleIn { tx, reader, source, pick }),
        4 => (0..4_u8).prop_map(|tx| Op::Commit { tx }),
        1 => (0..4_u8).prop_map(|tx| Op::Rollback { tx }),
    ]
}

fn subscription() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (reader(), lease(), start())
            .prop_map(|(reader, lease, start)| Op::Subscribe { reader, lease, start }),
        2 => (reader(), start()).prop_map(|(reader, to)| Op::Seek { reader, to }),
        3 => reader().prop_map(|reader| Op::Pause { reader }),
        3 => reader().prop_map(|reader| Op::Resume { reader }),
        2 => reader().prop_map(|reader| Op::Cancel { reader }),
        1 => reader().prop_map(|reader| Op::Heartbeat { reader }),
    ]
}

fn consumption() -> impl Strategy<Value = Op> {
    let member = 0..24_u8;
    prop_oneof![
        3 => reader().prop_map(|reader| Op::Join { reader }),
        1 => member.clone().prop_map(|member| Op::Beat { member }),
        1 => member.clone().prop_map(|member| Op::Crash { member }),
        1 => member.clone().prop_map(|member| Op::Leave { member }),
        14 => (member.clone(), 1..=5_u8).prop_map(|(member, limit)| Op::Fetch { member, limit }),
        14 => (member.clone(), source(), pick())
            .prop_map(|(member, source, pick)| Op::Handle { member, source, pick }),
        3 => (member, source(), pick(), lease())
            .prop_map(|(member, source, pick, by)| Op::Extend { member, source, pick, by }),
    ]
}

pub(super) fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![3 => Just(Channel::PubSub), 1 => Just(Channel::Queue)]
}

pub(super) fn mode() -> impl Strategy<Value = CompletionMode> {
    select(CompletionMode::ALL.to_vec())
}

pub(super) fn reader() -> impl Strategy<Value = Reader> {
    prop_oneof![
        4 => Just(Reader::Group(0)),
        3 => Just(Reader::Group(1)),
        2 => Just(Reader::Group(2)),
        2 => Just(Reader::Queue),
    ]
}

pub(super) fn lease() -> impl Strategy<Value = LeaseLength> {
    select(vec![LeaseLength::Long, LeaseLength::Short])
}

pub(super) fn batch() -> impl Strategy<Value = Batch> {
    (1..=4_u8, keys()).prop_map(|(messages, keys)| Batch { messages, keys })
}

pub(super) fn keyed() -> impl Strategy<Value = Batch> {
    (2..=4_u8, 0..Keys::COUNT).prop_map(|(messages, key)| Batch {
        messages,
        keys: Keys::One(key),
    })
}

fn keys() -> impl Strategy<Value = Keys> {
    let key = 0..Keys::COUNT;
    prop_oneof![
        2 => Just(Keys::None),
        3 => key.clone().prop_map(Keys::One),
        2 => key.clone().prop_map(Keys::EveryOther),
        3 => key.prop_map(Keys::Round),
    ]
}

pub(super) fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        3 => Just(Start::Now),
        5 => past(),
    ]
}

/// Mostly where something lies behind.
pub(super) fn past() -> impl Strategy<Value = Start> {
    let number = 0..32_u8;
    prop_oneof![
        2 => Just(Start::Beginning),
        3 => number.clone().prop_map(Start::Message),
        1 => number.clone().prop_map(Start::Time),
        1 => number.prop_map(Start::After),
    ]
}

pub(super) fn expire() -> impl Strategy<Value = Expire> {
    select(vec![Expire::To, Expire::Beyond, Expire::FarBeyond])
}

pub(super) fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        10 => Just(Source::Hand),
        4 => Just(Source::Group),
        6 => Just(Source::Past),
        2 => Just(Source::Anybody),
    ]
}

pub(super) fn pick() -> impl Strategy<Value = Pick> {
    (0..16_u8, 1..=4_u8, prop::bool::weighted(0.1)).prop_map(|(from, count, twice)| Pick {
        from,
        count,
        twice,
    })
}

pub(super) fn handling() -> impl Strategy<Value = Handling> {
    prop_oneof![
        8 => Just(Handling::Done),
        2 => Just(Handling::Skip),
        6 => Just(Handling::Fail),
        2 => Just(Handling::Release),
        3 => Just(Handling::Keep),
    ]
}
