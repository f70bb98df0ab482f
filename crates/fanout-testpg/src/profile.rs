use std::path::Path;

use nix::{
    sys::statvfs::statvfs,
    unistd::{AccessFlags, access},
};

/// How careful a cluster is with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Nothing is flushed to disk: for tests, which throw the data away.
    Fast,
    /// Everything is on, as in production: for crash tests and benchmarks.
    Durable,
}

impl Profile {
    /// The server's settings. `max_prepared_transactions` is for tests of two-phase commit.
    pub(crate) fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let own: &[_] = match self {
            Self::Fast => &[
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("shared_buffers", "128MB"),
                ("max_wal_size", "256MB"),
            ],
            Self::Durable => &[
                ("fsync", "on"),
                ("synchronous_commit", "on"),
                ("full_page_writes", "on"),
                ("shared_buffers", "1GB"),
                ("max_wal_size", "4GB"),
            ],
        };
        let common = [
            ("listen_addresses", ""),
            ("max_connections", "300"),
            ("max_prepared_transactions", "50"),
            ("autovacuum", "on"),
            ("timezone", "UTC"),
            ("log_min_messages", "warning"),
            ("log_checkpoints", "off"),
        ];
        common.into_iter().chain(own.iter().copied())
    }

    /// Where clusters go unless told otherwise. A copy of a database is hundreds of files, which
    /// memory takes many times faster than some disks. The durable profile needs a disk: where
    /// there is none a flush costs nothing, and on many systems `/tmp` is in memory as well.
    pub(crate) fn parent(self) -> &'static Path {
        let [memory, disk, any] = ["/dev/shm", "/var/tmp", "/tmp"].map(Path::new);
        match self {
            Self::Fast if usable(memory) && size(memory) >= ENOUGH => memory,
            Self::Durable if usable(disk) => disk,
            _ => any,
        }
    }
}

/// Containers often have far less. All of it counts and not what is free, since the processes of
/// a run have to agree on one place.
const ENOUGH: u64 = 2 << 30;

fn usable(path: &Path) -> bool {
    access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// The size of the file system that `path` is on; zero where there is no such path.
fn size(path: &Path) -> u64 {
    let found = statvfs(path);
    // The types differ from system to system.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    found.map_or(0, |found| {
        found.blocks() as u64 * found.fragment_size() as u64
    })
}
