use fanout_testpg::{Cluster, Profile};
use nix::sys::signal::Signal;

use crate::{
    child::Running,
    template::{connect, things},
};

/// The databases of tests on the server of `cluster`.
async fn databases(cluster: &Cluster) -> Vec<String> {
    let client = connect(&cluster.url("postgres")).await;
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE 'fanout_test_%' ORDER BY 1";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A server that was set up by hand stands for one that a cluster cannot take along when it goes.
#[tokio::test]
async fn a_given_server_is_swept_of_what_killed_tests_left() {
    let cluster = Cluster::start(Profile::Fast).unwrap();
    let url = cluster.url("postgres");
    let given = [("DATABASE_URL", url.as_str()), ("FANOUT_PG_WHEEL", "0")];

    let mut killed = Running::start("shared", &given);
    let mut living = Running::start("shared", &given);
    assert_eq!(things(&killed.said).await, Some(0));
    assert_eq!(databases(&cluster).await.len(), 2);
    killed.signal_group(Signal::SIGKILL);
    assert_eq!(databases(&cluster).await.len(), 2);

    let mut next = Running::start("shared briefly", &given);
    next.end();
    let left = databases(&cluster).await;
    assert_eq!(left.len(), 1);
    assert!(living.said.contains(&left[0]));
    living.signal_group(Signal::SIGKILL);
}
