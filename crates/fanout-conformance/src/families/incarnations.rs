//! Subscriptions of a group that follow each other, by cancellation or seek, and those of others that get what
//! it leaves: on a topic without messages a bit is free again as soon as nobody has it.

use std::sync::Arc;

use fanout_core::{Delivery, ErrorKind, Extension, Member, Outcome, Settlement, StartPosition};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, STALE, Scene, TestGroup, both_orderings, ended, nothing, of_key, ordered,
    outcomes, receipts, refused, same_ids, settle_all, take,
};

const MESSAGES: usize = 6;

/// One settlement of each kind, and one that is not used.
fn every_verdict(held: &[Delivery]) -> [Settlement; 4] {
    [
        Settlement::done(held[0].receipt),
        Settlement::skip(held[1].receipt),
        Settlement::fail(held[2].receipt, "no"),
        Settlement::release(held[3].receipt),
    ]
}

/// Nothing that the member does with these deliveries has an effect.
async fn all_stale(member: &dyn Member, held: &[Delivery]) {
    assert_eq!(
        outcomes(member, &every_verdict(held)).await,
        [Outcome::Stale; 4],
        "the deliveries of another subscription of the group are stale"
    );
    let extended = member.extend(&receipts(held), LEASE).await;
    let extended = extended.expect("stale receipts are no error");
    assert_eq!(
        extended,
        [Extension::Stale; MESSAGES],
        "however they are used"
    );
}

async fn cancel(s: &Scene, group: &TestGroup) {
    group.cancel().await.expect("it is live");
    // Frees the bit where that takes maintenance.
    s.maintain().await;
}

/// A member of a subscription that has ended, and one of a group that has subscribed then.
async fn one_after_the_other(
    s: &Scene,
    next: &str,
) -> (TestGroup, Arc<dyn Member>, Arc<dyn Member>) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let former = group.member().await;
    nothing(&*former, "there is nothing yet").await;
    cancel(s, &group).await;
    let group = topic.group(next).await;
    let member = group.member().await;
    topic.publish(MESSAGES).await;
    (group, former, member)
}

pub(crate) async fn a_member_of_a_former_subscription_settles_nothing_of_a_later_one(s: &Scene) {
    let (group, former, member) = one_after_the_other(s, "billing").await;
    let held = take(&*member, MESSAGES).await;
    all_stale(&*former, &held).await;
    refused(former.fetch(1).await, &ended(), "it has ended for good");
    settle_all(&*member, &held).await;
    assert_eq!(
        group.pending().await,
        [],
        "nothing was changed for its member"
    );
}

pub(crate) async fn what_a_former_subscription_fetched_is_stale_in_a_later_one(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(MESSAGES).await;
    let held = take(&*group.member().await, MESSAGES).await;
    cancel(s, &group).await;
    let group = topic.group("billing").await;
    let ids = topic.publish(MESSAGES).await;
    let member = group.member().await;
    all_stale(&*member, &held).await;
    assert_eq!(group.pending().await, ids, "nor are other messages settled");
}

pub(crate) async fn a_member_settles_nothing_of_who_has_its_bit_later(s: &Scene) {
    let (mailing, former, member) = one_after_the_other(s, "mailing").await;
    let held = take(&*member, MESSAGES).await;
    let (kinds, promise) = (&[ErrorKind::ForeignReceipt], "they are another group's");
    for settlement in every_verdict(&held) {
        refused(former.settle(&[settlement]).await, kinds, promise);
    }
    refused(former.extend(&receipts(&held), LEASE).await, kinds, promise);
    settle_all(&*member, &held).await;
    assert_eq!(
        mailing.pending().await,
        [],
        "nothing was changed for its member"
    );
}

pub(crate) async fn a_transaction_settles_nothing_of_an_ended_subscription_in_any_order<
    H: Harness,
>(
    f: &Fixture<H>,
) {
    for by_seek in [false, true] {
        let topic = f.topic(&format!("orders {by_seek}")).await;
        let group = topic.at("billing");
        group.subscribe(ordered()).await.expect("subscribes");
        topic.publish_all(of_key("k", 2)).await;
        let held = take(&*group.member().await, 2).await;
        if by_seek {
            group
                .seek(StartPosition::FromNow)
                .await
                .expect("it is live");
        } else {
            group.cancel().await.expect("it is live");
        }
        f.no_transaction_settles(&held[1..], STALE, "it is not the order that is wrong")
            .await;
    }
}

pub(crate) async fn a_heartbeat_after_a_seek_hides_nothing(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.at("billing");
        group.subscribe(options).await.expect("subscribes");
        let ids = topic.publish(MESSAGES).await;
        let member = group.member().await;
        settle_all(&*member, &take(&*member, MESSAGES).await).await;
        nothing(&*member, "all is settled").await;
        group
            .seek(StartPosition::FromBeginning)
            .await
            .expect("it is live");
        member.heartbeat().await.expect("it is live");
        let again = take(&*member, MESSAGES).await;
        same_ids(again.iter().map(|d| d.message.id), ids, "all is owed again");
        settle_all(&*member, &again).await;
        assert_eq!(group.pending().await, [], "and can be settled");
    }
}

pub(crate) async fn after_seeks_a_member_has_nothing_that_another_has(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let idle = group.member().await;
    nothing(&*idle, "there is nothing yet").await;
    for _ in 0..2 {
        group
            .seek(StartPosition::FromNow)
            .await
            .expect("it is live");
    }
    let busy = group.member().await;
    nothing(&*busy, "there is nothing yet").await;
    topic.publish(MESSAGES).await;
    let held = take(&*busy, MESSAGES).await;
    nothing(&*idle, "another has all of it under a lease").await;
    settle_all(&*busy, &held).await;
}

pub(crate) async fn whoever_slept_through_a_seek_settles_what_others_got_since(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.at("billing");
        group.subscribe(options).await.expect("subscribes");
        let asleep = [group.member().await, group.member().await];
        group
            .seek(StartPosition::FromNow)
            .await
            .expect("it is live");
        topic.publish(MESSAGES).await;
        let member = group.member().await;
        let held = take(&*member, MESSAGES).await;
        let extended = asleep[0].extend(&receipts(&held), LEASE).await;
        let extended = extended.expect("they are its group's");
        assert_eq!(extended.len(), MESSAGES);
        for extension in extended {
            assert_ne!(extension, Extension::Stale, "the lease is open");
        }
        settle_all(&*asleep[1], &held).await;
        assert_eq!(group.pending().await, [], "and all is settled");
    }
}

pub(crate) async fn a_member_leaves_after_a_seek(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(MESSAGES).await;
    let member = group.member().await;
    take(&*member, MESSAGES).await;
    group
        .seek(StartPosition::FromNow)
        .await
        .expect("it is live");
    nothing(&*member, "nothing is owed any more").await;
    member.leave().await.expect("what it holds is void");
    topic.publish(MESSAGES).await;
    let held = take(&*group.member().await, MESSAGES).await;
    assert_eq!(held.len(), MESSAGES, "nothing waits for the end of a lease");
}
