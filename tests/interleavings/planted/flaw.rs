//! A mistake in the engine's SQL.

use tokio_postgres::Client;

use crate::sql;

/// A function of the engine, with some of its text replaced.
#[derive(Clone, Debug)]
pub(crate) struct Flaw {
    pub(crate) name: &'static str,
    pub(crate) function: &'static str,
    /// What stands there, and what is put in its place.
    pub(crate) edits: &'static [(&'static str, &'static str)],
}

impl Flaw {
    /// Makes the mistake in a database.
    pub(crate) async fn plant(&self, client: &Client) {
        let row = client
            .query_one(sql::DEFINITION, &[&self.function])
            .await
            .expect("there is one function of the name");
        let mut definition: String = row.get(0);
        for (right, wrong) in self.edits {
            assert!(
                definition.contains(right),
                "{}: {} has no text\n{right}",
                self.name,
                self.function
            );
            definition = definition.replacen(right, wrong, 1);
        }
        client.batch_execute(&definition).await.expect(self.name);
    }
}
