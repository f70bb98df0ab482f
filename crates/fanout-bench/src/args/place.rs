//! Where to run.

use std::path::PathBuf;

use clap::Args;

/// What says where a scenario runs.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The database to run on, which is migrated [default: a throwaway cluster with durable
    /// settings, and a fresh database for each run].
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// A setting of the throwaway cluster, as `name=value`. May be repeated.
    #[arg(long = "setting", value_parser = setting, conflicts_with = "database_url")]
    pub(crate) settings: Vec<(String, String)>,
    /// Measures a server whose memory and log files have never been used, as it was started. Without
    /// this the throwaway cluster is aged first, which takes some seconds.
    #[arg(long, conflicts_with = "database_url")]
    pub(crate) fresh: bool,
    /// Counts statements with `pg_stat_statements`, which costs the database some time. A
    /// given database does so whenever it has it preloaded.
    #[arg(long, conflicts_with = "database_url")]
    pub(crate) statements: bool,
    /// SQL to execute once the database is migrated: for trying changes of the schema.
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_split_at_the_first_equals_sign() {
        let split = |text| setting(text).ok();
        assert_eq!(split("a = b=c"), Some(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(split("a"), None);
    }
}
