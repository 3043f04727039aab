//! What PostgreSQL and MySQL have in common: the statements of each operation, and what their end means.
//!
//! | operation | statements |
//! | --- | --- |
//! | read | one `select` |
//! | write | one `insert … on conflict update` |
//! | cas | one `update … where v = old`, or one `insert` where nothing is expected |
//! | rmw | a transaction: `select`, write |
//! | append, increment | one `insert … on conflict update` in place; with `update =
//!   "read-modify-write"` a transaction: `select`, compute at the client, write the whole |
//! | add, remove | one `insert`, one `delete`: an element is a row |
//! | init-bank, transfer | one `insert`; a transaction of two `update`s, or of `select`s and `update`s |
//! | new-id | one `insert` into a table that counts its rows |
//! | txn | a transaction of the statements of its parts, at the level `isolation` |
//!
//! - **ok**: the statement, or the `commit`, was answered with success, and without a warning: what
//!   PostgreSQL says of a synchronous commit that was cancelled is `info`.
//! - **fail**: the connection could not be made; a statement ended with an error of the server that
//!   takes back what it did; no row matched; or a transaction broke in whatever way before its `commit`
//!   was sent, for it can never be committed then. A read that was not answered.
//! - **info**: a single statement that writes, or a `commit`, that was not answered, or was answered by
//!   an error that does not promise that nothing was done (the server is shut down, and the like).
//!
//! Nothing is repeated: a transaction that the server aborts is a `fail`, and the workload goes on.

use std::sync::Arc;

use crate::model::{Function, Invocation, Mop, Op, Outcome, Process, Value};
use crate::target::client::{Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::stores::options::Update;
use crate::target::stores::sql_text::quoted;
use crate::target::stores::{
    Adapter, Asking, Object, Probe, Site, SqlOptions, Transfer, held_or_new, in_time, json, parsed,
};

/// What differs between the databases.
pub(super) trait Dialect: Send + Sync + 'static {
    type Connection: Connection;

    /// The type of a key: compared byte by byte.
    const KEY: &'static str;
    /// The type of a value of any length, compared byte by byte.
    const TEXT: &'static str;
    /// The type of an id that counts by itself.
    const ID: &'static str;
    /// What stands between an `insert` and the assignments for a row that is there already.
    const ON_CONFLICT: &'static str;
    /// What ends an `insert` so that it tells the new id, if it does not do so anyway.
    const RETURNING_ID: &'static str;
    /// What the level of isolation of the session is set with.
    const SET_LEVEL: &'static str;
    /// What a session must have, whatever the server or the target file set.
    const SESSION: &'static str;
    /// Asks whether the node is the primary: a row with its term if it is, else none.
    const PRIMARY: &'static str;

    /// Opens a connection; nothing of an operation is sent on it yet.
    fn connect(
        &self,
        address: &str,
    ) -> impl Future<Output = Result<Self::Connection, String>> + Send;
}

/// A connection that runs one statement at a time and repeats none.
pub(super) trait Connection: Send {
    fn run(&mut self, sql: &str) -> impl Future<Output = Result<Rows, Broken>> + Send;
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub cells: Vec<Vec<Option<String>>>,
    /// How many rows it matched or made.
    pub affected: u64,
    pub last_id: Option<i64>,
    /// A warning of the server: it did what was asked, but not as well as it should.
    pub warning: Option<String>,
}

impl Rows {
    fn first(&self) -> Option<&str> {
        self.cells.first()?.first()?.as_deref()
    }
}

/// How a statement failed.
#[derive(Debug)]
pub(super) enum Broken {
    /// The server says that it took back whatever the statement, or the transaction, had done.
    Undone(String),
    /// The server says that something is wrong, and not what it did.
    Doubtful(String),
    /// The connection is of no use any more.
    Lost(String),
}

/// What the tables of rashomon are called, after `rashomon_`.
const TABLES: [&str; 6] = ["registers", "lists", "counters", "elements", "accounts", "ids"];

/// What all clients of a target share.
pub(super) struct SqlAdapter<D> {
    site: Site,
    options: SqlOptions,
    dialect: D,
}

impl<D: Dialect> SqlAdapter<D> {
    pub(super) fn new(config: &TargetConfig, options: SqlOptions, dialect: D) -> Self {
        Self { site: Site::new(config), options, dialect }
    }

    /// A connection with the session's level and variables set.
    async fn connect(&self, node: &Arc<str>) -> Result<D::Connection, String> {
        let address = self.site.address(node)?;
        let connected = async {
            let mut connection = self.dialect.connect(address).await?;
            for statement in self.session() {
                if let Err(Broken::Undone(why) | Broken::Doubtful(why) | Broken::Lost(why)) =
                    connection.run(&statement).await
                {
                    return Err(format!("{statement}: {why}"));
                }
            }
            Ok(connection)
        };
        in_time(self.site.connect_timeout, connected).await
    }

    fn session(&self) -> Vec<String> {
        let variables = self.options.session.iter().map(|(name, value)| match value {
            toml::Value::String(text) => format!("set session {name} = {}", quoted(text)),
            other => format!("set session {name} = {other}"),
        });
        let level = self.options.isolation;
        let level = level.map(|one| format!("{} isolation level {}", D::SET_LEVEL, one.sql()));
        level.into_iter().chain(variables).chain([D::SESSION.to_owned()]).collect()
    }
}

impl<D: Dialect> Adapter for SqlAdapter<D> {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(SqlClient { adapter: self, node: node.clone(), connection: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(SqlProbe { adapter: self, node: node.clone() }))
    }

    fn knows_primaries(&self) -> bool {
        true
    }

    /// Makes the tables that are not there.
    fn prepare<'a>(&'a self, node: &'a Arc<str>) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let mut connection = self.connect(node).await?;
            let (key, text, id) = (D::KEY, D::TEXT, D::ID);
            let columns = [
                format!("k {key} not null primary key, v {text} not null"),
                format!("k {key} not null primary key, v {text} not null"),
                format!("k {key} not null primary key, v bigint not null"),
                format!("k {key} not null, e {key} not null, primary key (k, e)"),
                format!(
                    "k {key} not null, a {key} not null, v bigint not null, primary key (k, a)"
                ),
                format!("id {id} not null primary key, k {key} not null"),
            ];
            for (name, columns) in TABLES.iter().zip(columns) {
                let statement = format!("create table if not exists rashomon_{name} ({columns})");
                if let Err(Broken::Undone(why) | Broken::Doubtful(why) | Broken::Lost(why)) =
                    connection.run(&statement).await
                {
                    return Err(format!("table rashomon_{name}: {why}"));
                }
            }
            Ok(())
        })
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        _: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let mut connection = self.connect(node).await?;
            for name in TABLES {
                let run = quoted(&format!("{}/%", self.site.run));
                let statement = format!("delete from rashomon_{name} where k like {run}");
                if let Err(Broken::Undone(why) | Broken::Doubtful(why) | Broken::Lost(why)) =
                    connection.run(&statement).await
                {
                    return Err(format!("table rashomon_{name}: {why}"));
                }
            }
            Ok(())
        })
    }
}

/// One process at one node.
struct SqlClient<D: Dialect> {
    adapter: Arc<SqlAdapter<D>>,
    node: Arc<str>,
    connection: Option<D::Connection>,
}

impl<D: Dialect> Client for SqlClient<D> {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async { self.answer(&invocation.op).await.into() })
    }
}

/// Why an operation is not ok.
enum End {
    /// It certainly did nothing.
    Nothing(String),
    /// Nobody knows what it did.
    Unknown(String),
}

impl<D: Dialect> SqlClient<D> {
    async fn answer(&mut self, op: &Op) -> Outcome {
        let object = self.adapter.site.object(op);
        let held = self.connection.take();
        let connection = match held_or_new(held, self.adapter.connect(&self.node)).await {
            Ok(connection) => connection,
            Err(why) => return Outcome::Fail(why),
        };
        let (site, options) = (&self.adapter.site, &self.adapter.options);
        let mut session = Session::<D> { site, options, connection, object, usable: true };
        let end = session.execute(op).await;
        let Session { connection, usable, .. } = session;
        self.connection = usable.then_some(connection);
        match end {
            Ok(mops) => Outcome::Ok(mops),
            Err(End::Nothing(why)) => Outcome::Fail(why),
            Err(End::Unknown(why)) => unanswered(op, why),
        }
    }
}

/// A connection while an operation is done on it.
pub(super) struct Session<'a, D: Dialect> {
    pub(super) site: &'a Site,
    pub(super) options: &'a SqlOptions,
    connection: D::Connection,
    pub(super) object: Object,
    /// Whether the connection can take another operation.
    usable: bool,
}

impl<D: Dialect> Session<'_, D> {
    async fn execute(&mut self, op: &Op) -> Result<Vec<Mop>, End> {
        let many = op.mops.len() > 1 && op.function != Function::Cas;
        let reads_first = self.options.update == Update::ReadModifyWrite
            && matches!(op.function, Function::Append | Function::Increment);
        if !many && !reads_first && op.function != Function::Transfer {
            return self.single(op).await;
        }
        let why = match self.transaction(op).await {
            Ok(mops) => match self.run("commit").await {
                Ok(Rows { warning: Some(warning), .. }) => return Err(End::Unknown(warning)),
                Ok(_) => return Ok(mops),
                Err(Broken::Undone(why)) => why,
                Err(Broken::Doubtful(why) | Broken::Lost(why)) => return Err(End::Unknown(why)),
            },
            Err(why) => why,
        };
        // Without a commit nothing of it is ever seen. A commit that was refused (1047 of Galera) leaves it
        // open, and what comes next on the connection would be a part of it, or commit it.
        if self.usable && self.run("rollback").await.is_err() {
            self.usable = false;
        }
        Err(End::Nothing(why))
    }

    /// A statement that is a transaction of its own.
    async fn single(&mut self, op: &Op) -> Result<Vec<Mop>, End> {
        let mut mops = op.mops.clone();
        let statement = match op.function {
            Function::Cas => self.cas(op),
            _ => self.statement(&op.mops[0]),
        };
        let answer = match self.run(&statement.map_err(End::Nothing)?).await {
            Ok(Rows { warning: Some(why), .. }) if op.writes() => return Err(End::Unknown(why)),
            Ok(answer) => answer,
            Err(Broken::Undone(why)) => return Err(End::Nothing(why)),
            Err(Broken::Doubtful(why) | Broken::Lost(why)) => return Err(End::Unknown(why)),
        };
        if op.function == Function::Cas {
            return match answer.affected {
                0 => Err(End::Nothing("the register holds another value".to_owned())),
                _ => Ok(mops),
            };
        }
        // The answer to a write has come: what it holds cannot make it undone.
        self.read_into(&mut mops[0], &answer).map_err(End::Unknown)?;
        Ok(mops)
    }

    /// Everything of a transaction but its end.
    async fn transaction(&mut self, op: &Op) -> Result<Vec<Mop>, String> {
        self.step("begin").await?;
        let mut mops = op.mops.clone();
        for mop in &mut mops {
            match (mop.function, self.options.update) {
                (Function::Transfer, update) => self.transfer(mop, update).await?,
                (Function::Append | Function::Increment, Update::ReadModifyWrite) => {
                    let mut before = Mop { function: Function::Read, ..mop.clone() };
                    let question = self.select(&before, true)?;
                    let answer = self.step(&question).await?;
                    self.read_into(&mut before, &answer)?;
                    self.step(&self.whole(mop, &before.value)).await?;
                }
                (Function::Read, _) => {
                    let question = self.select(mop, op.writes())?;
                    let answer = self.step(&question).await?;
                    self.read_into(mop, &answer)?;
                }
                _ => {
                    let statement = self.statement(mop)?;
                    let answer = self.step(&statement).await?;
                    self.read_into(mop, &answer)?;
                }
            }
        }
        Ok(mops)
    }

    /// Moves money, in a transaction that has begun.
    async fn transfer(&mut self, mop: &Mop, update: Update) -> Result<(), String> {
        let transfer = Transfer::of(mop).ok_or("no transfer")?;
        let (amount, overdraft) = (transfer.amount, transfer.overdraft);
        let bank = quoted(&self.site.key(&mop.key));
        let account =
            |account: &Value| format!("where k = {bank} and a = {}", quoted(&json(account)));
        let (from, to) = (account(transfer.from), account(transfer.to));
        let uncovered = || "the transfer is not covered".to_owned();
        if update == Update::Atomic {
            let covered = if overdraft { String::new() } else { format!(" and v >= {amount}") };
            for (change, place) in [("-", format!("{from}{covered}")), ("+", to)] {
                let statement =
                    format!("update rashomon_accounts set v = v {change} {amount} {place}");
                if self.step(&statement).await?.affected == 0 {
                    return Err(uncovered());
                }
            }
            return Ok(());
        }
        let mut balances = [0_i64; 2];
        for (balance, place) in balances.iter_mut().zip([&from, &to]) {
            let lock = self.lock(true);
            let answer =
                self.step(&format!("select v from rashomon_accounts {place}{lock}")).await?;
            let found = answer.first().and_then(|text| text.parse().ok());
            *balance = found.ok_or_else(uncovered)?;
        }
        if !overdraft && balances[0] < amount {
            return Err(uncovered());
        }
        for (balance, place) in [(balances[0] - amount, from), (balances[1] + amount, to)] {
            self.step(&format!("update rashomon_accounts set v = {balance} {place}")).await?;
        }
        Ok(())
    }

    /// A step of a transaction whose `commit` has not been sent.
    async fn step(&mut self, sql: &str) -> Result<Rows, String> {
        self.run(sql).await.map_err(|(Broken::Undone(w) | Broken::Doubtful(w) | Broken::Lost(w))| w)
    }

    async fn run(&mut self, sql: &str) -> Result<Rows, Broken> {
        let answer = self.connection.run(sql).await;
        if matches!(answer, Err(Broken::Lost(_) | Broken::Doubtful(_))) {
            self.usable = false;
        }
        answer
    }

    /// Puts what was read in place of what was not yet known.
    fn read_into(&self, mop: &mut Mop, answer: &Rows) -> Result<(), String> {
        let cell = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten();
        match mop.function {
            Function::NewId => {
                let id = answer.first().and_then(|text| text.parse().ok()).or(answer.last_id);
                mop.value = Value::Int(id.ok_or("no id in the answer")?);
            }
            Function::Read => {
                mop.value = match (self.object, answer.first()) {
                    (Object::Counter, None) => Value::Int(0),
                    (_, None) => Value::Null,
                    (Object::List, Some(text)) => parsed(&format!("[{text}]"))?,
                    (Object::Set, Some(_)) => {
                        let texts = answer.cells.iter().filter_map(|row| cell(row, 0));
                        let values = texts.map(|text| parsed(&text));
                        Value::List(values.collect::<Result<_, _>>()?)
                    }
                    (Object::Bank, Some(_)) => {
                        let pair = |row| Some((cell(row, 0)?, cell(row, 1)?));
                        let pairs = answer.cells.iter().filter_map(pair);
                        let entries = pairs.map(|(a, v)| Ok((parsed(&a)?, parsed(&v)?)));
                        let mut entries = entries.collect::<Result<Vec<_>, String>>()?;
                        entries.sort();
                        Value::Map(entries.into())
                    }
                    (_, Some(text)) => parsed(text)?,
                };
            }
            _ => {}
        }
        Ok(())
    }
}

/// Asks a node how it is, on a new connection each time.
struct SqlProbe<D> {
    adapter: Arc<SqlAdapter<D>>,
    node: Arc<str>,
}

impl<D: Dialect> Probe for SqlProbe<D> {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async {
            let mut connection = self.adapter.connect(&self.node).await?;
            let answer = connection.run("select 1").await;
            answer.map(|_| ()).map_err(|error| format!("{error:?}"))
        })
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async {
            let mut connection = self.adapter.connect(&self.node).await.ok()?;
            let answer = connection.run(D::PRIMARY).await.ok()?;
            answer.first()?.parse().ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;
    use crate::model::Nanos;

    /// A database that answers with success but for the errors it is told.
    #[derive(Clone, Default)]
    struct Scripted {
        /// The statement, and the error that it ends with.
        errors: BTreeMap<&'static str, &'static str>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Dialect for Scripted {
        type Connection = Self;

        const KEY: &'static str = "";
        const TEXT: &'static str = "";
        const ID: &'static str = "";
        const ON_CONFLICT: &'static str = "";
        const RETURNING_ID: &'static str = "";
        const SET_LEVEL: &'static str = "";
        const SESSION: &'static str = "set";
        const PRIMARY: &'static str = "";

        async fn connect(&self, _: &str) -> Result<Self, String> {
            self.said.lock().expect("no panic").push("connect".to_owned());
            Ok(self.clone())
        }
    }

    impl Connection for Scripted {
        async fn run(&mut self, sql: &str) -> Result<Rows, Broken> {
            let word = sql.split(' ').next().unwrap_or_default();
            self.said.lock().expect("no panic").push(word.to_owned());
            let error = self.errors.get(word);
            error.map_or_else(|| Ok(Rows::default()), |why| Err(Broken::Undone((*why).to_owned())))
        }
    }

    /// How two transactions of one process end, and what the database was told.
    fn two_transactions(errors: &[(&'static str, &'static str)]) -> (Vec<Outcome>, Vec<String>) {
        let file = "name = \"sql\"\nadapter = \"mysql\"\n[nodes]\nn1 = \"127.0.0.1:1\"\n";
        let config = TargetConfig::parse("sql.toml", file).expect("a target");
        let dialect = Scripted { errors: errors.iter().copied().collect(), ..Scripted::default() };
        let said = dialect.said.clone();
        let adapter = Arc::new(SqlAdapter::new(&config, SqlOptions::default(), dialect));
        let node = Arc::from("n1");
        let mut client = adapter.client(Process(0), &node).expect("the node is there");
        let writes =
            ["x", "y"].map(|key| Op::write(Value::text(key), Value::Int(1)).mops.remove(0));
        let op = Op::txn(writes.to_vec());
        let waited = Nanos(0);
        let (process, node) = (Process(0), Some(node));
        let invocation = Invocation { process, session: 0, node, is_final: false, waited, op };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let outcomes = runtime.expect("a runtime").block_on(async {
            let first = client.invoke(&invocation).await.outcome;
            vec![first, client.invoke(&invocation).await.outcome]
        });
        let said = said.lock().expect("no panic").clone();
        (outcomes, said)
    }

    /// A node of Galera without a quorum refuses a `commit` and keeps the transaction open: the next
    /// `begin` would commit what was recorded as a `fail`.
    #[test]
    fn a_refused_commit_leaves_no_transaction_open() {
        let refused = ("commit", "1047 the node is not prepared");
        let connect = ["connect", "set"];
        let parts = ["begin", "insert", "insert", "commit", "rollback"];
        let (outcomes, said) = two_transactions(&[refused]);
        assert!(outcomes.iter().all(|end| matches!(end, Outcome::Fail(_))), "{outcomes:?}");
        assert_eq!(said, [&connect[..], &parts, &parts].concat());
        // Nor one whose end the node refuses as well: it goes with its connection.
        let (outcomes, said) = two_transactions(&[refused, ("rollback", "1047 nor for that")]);
        assert!(outcomes.iter().all(|end| matches!(end, Outcome::Fail(_))), "{outcomes:?}");
        assert_eq!(said, [&connect[..], &parts, &connect, &parts].concat());
    }
}
