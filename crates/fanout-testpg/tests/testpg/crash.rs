use fanout_testpg::{Cluster, Profile};

use crate::template::{connect, things};

#[tokio::test]
async fn committed_data_survive_a_crash() {
    let builder = Cluster::builder(Profile::Durable);
    let mut cluster = builder.setting("shared_buffers", "64MB").start().unwrap();
    cluster.create_database("survivor").unwrap();
    let url = cluster.url("survivor");
    let client = connect(&url).await;
    client
        .batch_execute("CREATE TABLE thing (id int)")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO thing SELECT generate_series(1, 1000)")
        .await
        .unwrap();
    client
        .batch_execute("BEGIN; INSERT INTO thing VALUES (0)")
        .await
        .unwrap();
    let before = cluster.pid().unwrap();

    cluster.crash().unwrap();
    assert_eq!(cluster.pid(), None);
    assert!(client.batch_execute("COMMIT").await.is_err());
    assert!(
        tokio_postgres::connect(&url, tokio_postgres::NoTls)
            .await
            .is_err()
    );

    cluster.restart().unwrap();
    assert_ne!(cluster.pid(), Some(before));
    assert_eq!(things(&url).await, Some(1000));
    let kept = connect(&url).await;
    cluster.restart().unwrap();
    assert!(kept.batch_execute("SELECT 1").await.is_err());
    assert_eq!(things(&url).await, Some(1000));
    let buffers = connect(&url)
        .await
        .query_one("SHOW shared_buffers", &[])
        .await
        .unwrap();
    assert_eq!(buffers.get::<_, &str>(0), "64MB");
}

#[tokio::test]
async fn the_profiles_differ_in_what_is_flushed() {
    for (profile, expected) in [(Profile::Fast, "off"), (Profile::Durable, "on")] {
        let cluster = Cluster::start(profile).unwrap();
        let client = connect(&cluster.url("postgres")).await;
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let row = client
                .query_one(&format!("SHOW {setting}"), &[])
                .await
                .unwrap();
            assert_eq!(row.get::<_, &str>(0), expected, "{setting}");
        }
        let row = client
            .query_one("SHOW listen_addresses", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, &str>(0), "");
    }
}

#[test]
fn a_setting_that_postgres_refuses_is_told() {
    let builder = Cluster::builder(Profile::Fast).setting("max_connections", "many");
    let error = builder.start().unwrap_err().to_string();
    assert!(error.contains("max_connections"), "{error}");
}
