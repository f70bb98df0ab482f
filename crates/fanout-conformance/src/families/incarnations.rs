//! Subscriptions of a group that follow each other, and of others that get what it leaves: on a topic without
//! messages a bit is free again as soon as its subscription has ended.

use std::sync::Arc;

use fanout_core::{Delivery, ErrorKind, Extension, Member, Outcome, Settlement};

use crate::stage::{
    LEASE, Scene, TestGroup, ended, nothing, outcomes, receipts, refused, settle_all, take,
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

/// A member of a subscription that has ended, and one of the next.
async fn one_after_the_other(s: &Scene) -> (TestGroup, Arc<dyn Member>, Arc<dyn Member>) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let former = group.member().await;
    nothing(&*former, "there is nothing yet").await;
    cancel(s, &group).await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    topic.publish(MESSAGES).await;
    (group, former, member)
}

pub(crate) async fn a_member_of_a_former_subscription_settles_nothing_of_a_later_one(s: &Scene) {
    let (group, former, member) = one_after_the_other(s).await;
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
    let topic = s.topic("orders").await;
    let billing = topic.group("billing").await;
    let former = billing.member().await;
    nothing(&*former, "there is nothing yet").await;
    cancel(s, &billing).await;
    let mailing = topic.group("mailing").await;
    topic.publish(MESSAGES).await;
    let member = mailing.member().await;
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
