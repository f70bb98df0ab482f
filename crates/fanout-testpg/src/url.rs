use std::path::Path;

/// The URL of `database` on the server whose socket is in `directory`.
pub(crate) fn of_socket(directory: &Path, database: &str) -> String {
    let host = encode(&directory.to_string_lossy());
    // The port is named, or else libpq would take PGPORT's.
    format!(
        "postgres://postgres@/{}?host={host}&port=5432",
        encode(database)
    )
}

/// `url`, which may also be of the form `key=value key=value`, with another database in it.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // The last value of a key counts.
        return format!("{url} dbname='{database}'");
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, format!("?{query}")),
        None => (rest, String::new()),
    };
    let authority = place.split('/').next().unwrap_or_default();
    format!("{scheme}://{authority}/{}{query}", encode(database))
}

fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            (
                "postgres://u:p@h:1/old?sslmode=disable",
                "postgres://u:p@h:1/new?sslmode=disable",
            ),
            ("postgresql://h", "postgresql://h/new"),
            ("postgres:///old?host=/tmp", "postgres:///new?host=/tmp"),
            ("host=h dbname=old", "host=h dbname=old dbname='new'"),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[test]
    fn a_socket_url_survives_the_driver() {
        let url = of_socket(Path::new("/tmp/a b"), "x/y?z");
        let config: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(config.get_dbname(), Some("x/y?z"));
        assert_eq!(config.get_user(), Some("postgres"));
        assert_eq!(
            config.get_hosts(),
            [tokio_postgres::config::Host::Unix("/tmp/a b".into())]
        );
    }
}
