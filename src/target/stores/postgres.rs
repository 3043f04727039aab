//! PostgreSQL: the dialect and the connection; [`sql`](super::sql) says which statements.
//!
//! Statements go as simple queries, one message each, so nothing is prepared and nothing is repeated.
//!
//! What an error means, by its severity:
//! - `ERROR` takes back the statement and its transaction: **undone**. Only `40003` (completion unknown)
//!   and the classes of [`UNCLEAR`] say nothing: PostgreSQL itself gives them to few errors that do not end
//!   the connection, but a store that speaks its protocol does where a node or a majority did not answer.
//! - `FATAL` and `PANIC` end the connection, perhaps after the commit record was written: doubtful.
//!
//! A commit that waits for a synchronous standby and is cancelled (by `statement_timeout`, say) is
//! answered with success and a `WARNING`: it is committed here and perhaps nowhere else. The warning
//! comes before the answer, on the same connection, and makes the operation `info`.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use crate::target::stores::sql::{Broken, Connection, Dialect, Rows};
use crate::target::stores::{SqlOptions, secret};

/// The beginnings of codes that say nothing of the transaction: the connection to somebody, an operator or a
/// shutdown, the system, the server itself.
const UNCLEAR: [&str; 4] = ["08", "57P", "58", "XX"];

pub(super) struct Postgres {
    config: Config,
}

impl Postgres {
    pub(super) fn new(
        options: &SqlOptions,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut config = Config::new();
        config.user(options.user.as_deref().unwrap_or("postgres"));
        config.dbname(options.database.as_deref().unwrap_or("postgres"));
        config.application_name("rashomon");
        if let Some(password) = secret(options.password_variable.as_ref(), environment)? {
            config.password(password);
        }
        Ok(Self { config })
    }
}

impl Dialect for Postgres {
    type Connection = PostgresConnection;

    const KEY: &'static str = "varchar(190)";
    const TEXT: &'static str = "text";
    const ID: &'static str = "bigserial";
    const ON_CONFLICT: &'static str = "on conflict (k) do update set";
    const RETURNING_ID: &'static str = " returning id";
    const SET_LEVEL: &'static str = "set session characteristics as transaction";
    /// A backslash is one.
    const SESSION: &'static str = "set standard_conforming_strings = on";
    /// The term is the timeline, which every promotion raises.
    const PRIMARY: &'static str = "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint \
         where not pg_is_in_recovery()";

    async fn connect(&self, address: &str) -> Result<PostgresConnection, String> {
        let mut config = self.config.clone();
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
        config.host(host).port(port.parse().unwrap_or(5432));
        let (client, mut messages) =
            config.connect(NoTls).await.map_err(|error| told(&error, error.as_db_error()))?;
        let warning = Arc::new(Mutex::new(None));
        let heard = warning.clone();
        // It ends with the client, or with the connection.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| messages.poll_message(context)).await {
                if let (AsyncMessage::Notice(notice), Ok(mut heard)) = (message, heard.lock())
                    && notice.parsed_severity() == Some(Severity::Warning)
                {
                    *heard = Some(notice.to_string());
                }
            }
        });
        Ok(PostgresConnection { client, warning })
    }
}

pub(super) struct PostgresConnection {
    client: Client,
    /// What the server warned of since the last statement began.
    warning: Arc<Mutex<Option<String>>>,
}

impl PostgresConnection {
    fn warning(&self) -> Option<String> {
        self.warning.lock().ok().and_then(|mut warning| warning.take())
    }
}

impl Connection for PostgresConnection {
    async fn run(&mut self, sql: &str) -> Result<Rows, Broken> {
        self.warning();
        let messages = self.client.simple_query(sql).await.map_err(|error| {
            let database = error.as_db_error();
            let why = told(&error, database);
            match database {
                Some(error) if undone(error) => Broken::Undone(why),
                Some(_) => Broken::Doubtful(why),
                None => Broken::Lost(why),
            }
        })?;
        let mut answer = Rows::default();
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
                    answer.cells.push(cells.collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.affected = count,
                _ => {}
            }
        }
        answer.warning = self.warning();
        Ok(answer)
    }
}

/// Whether an error takes back its transaction.
fn undone(error: &DbError) -> bool {
    let code = error.code();
    error.parsed_severity() == Some(Severity::Error)
        && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        && !UNCLEAR.iter().any(|class| code.code().starts_with(class))
}

fn told(error: &tokio_postgres::Error, database: Option<&DbError>) -> String {
    match database {
        Some(database) => format!("{} {}", database.code().code(), database.message()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
