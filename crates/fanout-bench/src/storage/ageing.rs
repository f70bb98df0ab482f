//! Makes a new server like one that has run for a while.

use tokio_postgres::Client;

use crate::failure::Result;

/// How much log to write before a run, in MB: more than most runs write.
const LOG_MEGABYTES: i32 = 1500;

/// Touches all of the server's buffers once, and leaves log files to be recycled.
///
/// A new server takes each page of its memory from the operating system when it first needs it, and
/// fills each log file with zeros before it writes to it. On a virtual machine, which gets its memory
/// from the host in the same way, that can double the cost of a message, for the first minute only.
pub(crate) async fn age(client: &Client) -> Result<()> {
    client
        .batch_execute("CREATE UNLOGGED TABLE aged (filler text) WITH (fillfactor = 10)")
        .await?;
    // At this fill factor a row takes a page of its own.
    let fill = "INSERT INTO aged
        SELECT repeat('x', 1000)
        FROM pg_settings s, generate_series(1, s.setting::bigint) WHERE s.name = 'shared_buffers'";
    client.execute(fill, &[]).await?;
    client.batch_execute("DROP TABLE aged").await?;
    // Files of the log are recycled by a checkpoint, as many as were written since the last.
    for _ in 0..2 {
        let write = "SELECT count(pg_logical_emit_message(true, 'aged', repeat('x', 1024 * 1024)))
            FROM generate_series(1, $1)";
        client.query(write, &[&LOG_MEGABYTES]).await?;
        super::checkpoint(client).await?;
    }
    Ok(())
}
