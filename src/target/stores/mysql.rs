//! MySQL and MariaDB, Galera too: the dialect and the connection; [`sql`](super::sql) says which
//! statements.
//!
//! Statements go as text, one packet each, on a connection without a pool: nothing is prepared and
//! nothing is repeated.
//!
//! What an error means: the server takes back a statement that ends with an error, and the client then
//! rolls back its transaction. So an error is **undone** if its code is one of [`UNDONE`]; of any
//! other code (shutdown, error during commit, …) nothing is concluded.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row, Value};

use crate::target::stores::sql::{Broken, Connection, Dialect, Rows};
use crate::target::stores::{SqlOptions, secret};

/// Errors that say that the statement, and a `commit` too, did nothing.
const UNDONE: &[u16] = &[
    1020, // the record has changed since it was read (snapshot isolation of InnoDB)
    1022, // a key is there twice
    1044, 1045, 1142, // not allowed
    1047, // Galera: the node is not prepared for use
    1048, // a column cannot be null
    1062, // a key is there twice
    1064, // not understood
    1146, // no such table
    1205, // waited too long for a lock
    1213, // a deadlock, or in Galera a certificate that was refused
    1264, 1406, // out of range, too long
    1290, 1792, 1836, // read only
    4025, // a constraint
];

pub(super) struct Mysql {
    user: String,
    password: Option<String>,
    database: String,
}

impl Mysql {
    pub(super) fn new(
        options: &SqlOptions,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        Ok(Self {
            user: options.user.clone().unwrap_or_else(|| "root".to_owned()),
            password: secret(options.password_variable.as_ref(), environment)?,
            database: options.database.clone().unwrap_or_else(|| "test".to_owned()),
        })
    }
}

impl Dialect for Mysql {
    type Connection = MysqlConnection;

    const KEY: &'static str = "varchar(190) character set utf8mb4 collate utf8mb4_bin";
    const TEXT: &'static str = "longtext character set utf8mb4 collate utf8mb4_bin";
    const ID: &'static str = "bigint auto_increment";
    const ON_CONFLICT: &'static str = "on duplicate key update";
    const RETURNING_ID: &'static str = "";
    const SET_LEVEL: &'static str = "set session transaction";
    /// A statement is a transaction of its own, a `commit` begins no other, all rows are shown, a backslash is
    /// one, and what does not fit is an error and not cut off.
    const SESSION: &'static str = "set session autocommit = 1, session completion_type = 0, \
         session sql_select_limit = 18446744073709551615, \
         session sql_mode = concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES')";
    /// There are no terms: whoever takes writes, the first of several.
    const PRIMARY: &'static str = "select 0 from dual where @@global.read_only = 0";

    async fn connect(&self, address: &str) -> Result<MysqlConnection, String> {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "3306"));
        let options: Opts = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port.parse().unwrap_or(3306))
            .user(Some(self.user.clone()))
            .pass(self.password.clone())
            .db_name(Some(self.database.clone()))
            .prefer_socket(false)
            .stmt_cache_size(0)
            // A row that is set to what it holds counts too.
            .client_found_rows(true)
            .into();
        let connection = Conn::new(options).await.map_err(|error| error.to_string())?;
        Ok(MysqlConnection { connection })
    }
}

pub(super) struct MysqlConnection {
    connection: Conn,
}

impl Connection for MysqlConnection {
    async fn run(&mut self, sql: &str) -> Result<Rows, Broken> {
        let rows: Vec<Row> = self.connection.query(sql).await.map_err(|error| match error {
            Error::Server(server) if UNDONE.contains(&server.code) => {
                Broken::Undone(server.to_string())
            }
            Error::Server(server) => Broken::Doubtful(server.to_string()),
            other => Broken::Lost(other.to_string()),
        })?;
        let cells = |row: Row| row.unwrap().into_iter().map(text).collect();
        Ok(Rows {
            cells: rows.into_iter().map(cells).collect(),
            affected: self.connection.affected_rows(),
            last_id: self.connection.last_insert_id().map(|id| id as i64),
            warning: None,
        })
    }
}

/// A cell as text, as the text protocol sends it.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        other => Some(other.as_sql(true)),
    }
}
