//! A call of a server function whose name may hold the topic.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// `SELECT * FROM fanout.<function>(<binds>)` with rows of the SQL type `Row`.
///
/// diesel-async prepares `sql_query` anew at every call, because it cannot know that its text is
/// safe to cache. The text of this varies by function, hence by topic at most, so it is cached.
#[derive(Debug)]
pub(crate) struct Call<Row, Binds> {
    function: Cow<'static, str>,
    binds: Binds,
    row: PhantomData<Row>,
}

/// A call of `function` with a tuple of bound values.
pub(crate) fn call<Row, Binds>(
    function: impl Into<Cow<'static, str>>,
    binds: Binds,
) -> Call<Row, Binds> {
    Call {
        function: function.into(),
        binds,
        row: PhantomData,
    }
}

/// The one row of a call that was loaded whole.
///
/// The driver's `get_result` returns with the first row, which the server may send before it commits:
/// an answer that is longer than the server's buffer would be taken for durable too early. `load`
/// returns when the server has ended the statement.
pub(super) fn only<Value>(mut rows: Vec<Value>) -> QueryResult<Value> {
    rows.pop().ok_or(diesel::result::Error::NotFound)
}

impl<Row, Binds> QueryFragment<Pg> for Call<Row, Binds>
where
    Binds: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT * FROM fanout.");
        out.push_sql(&self.function);
        out.push_sql("(");
        self.binds.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

impl<Row, Binds> QueryId for Call<Row, Binds> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row, Binds> Query for Call<Row, Binds> {
    type SqlType = Row;
}
