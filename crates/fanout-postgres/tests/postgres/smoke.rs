use fanout_core::*;
use crate::support::{migrated, open};

#[tokio::test]
async fn smoke() {
    let db = migrated().await;
    let b = open(&db).await;
    let t = TopicName::new("t").unwrap();
    let g = GroupName::new("g").unwrap();
    b.create_topic(&t, TopicConfig::default()).await.unwrap();
    b.subscribe_from_now(&t, &g).await.unwrap();
    b.publish(&t, vec![NewMessage::new("a").key("k").header("x", 1), NewMessage::new("b")]).await.unwrap();
    let m = b.join_group(&t, &g).await.unwrap();
    let f = m.fetch(10).await.unwrap();
    println!("{f:?}");
    m.done(&f.deliveries[0]).await.unwrap();
    println!("{:?}", m.fail(&f.deliveries[1], "x").await.unwrap());
    println!("{:?}", b.stats(&t).await.unwrap());
    println!("{:?}", b.accounting(&t, MessageId(0), 10).await.unwrap());
    println!("{:?}", b.maintain().await.unwrap());
    b.cancel(&t, &g).await.unwrap();
    b.delete_topic(&t, DeleteTopic::IfSettled).await.unwrap();
}
