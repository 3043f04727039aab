//! What is asked of a proxy that runs, and how one is started that outlives who starts it.

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::proxy::definition::{Definition, Port, Way};
use crate::proxy::rule::Asked;

/// How long a proxy may take to answer; a probe takes seconds.
const ANSWER: Duration = Duration::from_secs(20);

/// How long a proxy may take to listen.
const START: Duration = Duration::from_secs(10);

/// Why a proxy did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nobody listens there: no rule of it is in force.
    Absent(String),
    /// What was asked for makes no sense.
    Refused(String),
    /// A rule does not do what it says.
    NotInForce(String),
    /// No answer, or one that is none.
    Unknown(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(why) | Self::Refused(why) | Self::NotInForce(why) | Self::Unknown(why) => {
                f.write_str(why)
            }
        }
    }
}

/// A proxy that runs, spoken to at its control endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    address: SocketAddr,
}

impl Remote {
    /// The proxy whose control endpoint is there.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Sets a rule, in the place of one of that name. It is in force when this returns.
    pub fn set(self, id: &str, asked: &Asked) -> Result<Value, Failed> {
        let body =
            serde_json::to_string(asked).map_err(|error| Failed::Unknown(error.to_string()))?;
        self.ask("PUT", &format!("rule/{id}"), Some(body))
    }

    /// Removes a rule. It is as good if there is none, or no proxy.
    pub fn undo(self, id: &str) -> Result<Value, Failed> {
        match self.ask("DELETE", &format!("rule/{id}"), None) {
            Err(Failed::Absent(_)) => Ok(serde_json::json!({"id": id, "was-there": false})),
            other => other,
        }
    }

    /// Whether a rule does what it says.
    pub fn probe(self, id: &str) -> Result<Value, Failed> {
        self.ask("PUT", &format!("probe/{id}"), None)
    }

    /// Renews the leases of the proxy and of the rules whose names begin so.
    pub fn renew(self, prefix: &str) -> Result<Value, Failed> {
        self.ask("PUT", &format!("renew/{prefix}"), None)
    }

    /// Links and rules, and what each rule has stopped.
    pub fn rules(self) -> Result<Value, Failed> {
        self.ask("GET", "rules", None)
    }

    /// Ends the proxy, and waits until nobody listens any more. It is as good if there is none.
    pub fn stop(self) -> Result<(), Failed> {
        let until = Instant::now() + START;
        loop {
            match self.ask("DELETE", "", None) {
                Err(Failed::Absent(_)) => return Ok(()),
                // It ends while it answers.
                Ok(_) | Err(Failed::Unknown(_)) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(_) => return Err(Failed::Unknown(format!("{} does not end", self.address))),
                Err(error) => return Err(error),
            }
        }
    }

    fn ask(self, method: &str, path: &str, body: Option<String>) -> Result<Value, Failed> {
        let unknown = |error: &dyn fmt::Display| {
            Failed::Unknown(format!("the proxy at {}: {error}", self.address))
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unknown(&error))?;
        let url = format!("http://{}/{path}", self.address);
        let method =
            reqwest::Method::from_bytes(method.as_bytes()).map_err(|error| unknown(&error))?;
        let (status, text) = runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build();
            let client = client.map_err(|error| unknown(&error))?;
            let request = client.request(method, url).body(body.unwrap_or_default());
            let response = request.send().await.map_err(|error| {
                if error.is_connect() {
                    return Failed::Absent(format!("no proxy listens at {}", self.address));
                }
                unknown(&error)
            })?;
            let status = response.status().as_u16();
            Ok((status, response.text().await.map_err(|error| unknown(&error))?))
        })?;
        let answer: Value =
            serde_json::from_str(&text).map_err(|_| unknown(&"somebody else answers there"))?;
        let why = answer["error"].as_str().unwrap_or_default().to_owned();
        match status {
            200 => Ok(answer),
            409 => Err(Failed::NotInForce(why)),
            400 | 404 => Err(Failed::Refused(why)),
            _ => Err(unknown(&format!("status {status}"))),
        }
    }
}

/// Starts the proxy of a file as a process of its own, which ends when nobody has renewed it for
/// `lease`, and waits until it listens. If a proxy of these links listens there already, it is that one.
pub fn start(file: &Path, definition: &Definition, lease: Duration) -> Result<(), String> {
    let control = definition.control;
    let remote = Remote::at(control);
    if let Ok(answer) = remote.rules() {
        if !carries(&answer, definition) {
            let file = file.display();
            return Err(format!("the proxy at {control} has other links than those of {file}"));
        }
        return remote.renew("").map(|_| ()).map_err(|error| error.to_string());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg("proxy")
        .arg(file)
        .args(["--lease", &format!("{}ms", lease.as_millis())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C is for the run, which then ends it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start a proxy: {error}"))?;
    let until = Instant::now() + START;
    loop {
        let ours = |answer: Value| answer["pid"].as_u64() == Some(u64::from(child.id()));
        if remote.rules().is_ok_and(ours) {
            return Ok(());
        }
        if let Ok(Some(_)) = child.try_wait() {
            let mut said = String::new();
            let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
            return Err(said.trim().trim_start_matches("error: ").to_owned());
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the proxy of {} does not listen", file.display()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes every rule of the proxy of these links, and says what they were called; there are none where no
/// proxy runs. It goes on carrying the links.
pub fn undo_all(definition: &Definition) -> Result<Vec<String>, Failed> {
    let control = definition.control;
    let remote = Remote::at(control);
    let answer = match remote.rules() {
        Err(Failed::Absent(_)) => return Ok(Vec::new()),
        answer => answer?,
    };
    if !carries(&answer, definition) {
        return Err(Failed::Refused(format!(
            "the proxy at {control} has other links than this file"
        )));
    }
    let rules = answer["rules"].as_array().into_iter().flatten();
    let ids = rules.filter_map(|rule| rule["id"].as_str().map(str::to_owned));
    ids.map(|id| remote.undo(&id).map(|_| id)).collect()
}

/// Whether a proxy that runs has the links of a file.
fn carries(answer: &Value, definition: &Definition) -> bool {
    let line = |(way, port): (Way, &Port)| format!("{way} {} {}", port.listen, port.connect);
    let mut wanted: Vec<String> = definition.links().map(line).collect();
    let text = |link: &Value, key: &str| link[key].as_str().unwrap_or_default().to_owned();
    let line = |link: &Value| ["way", "listen", "connect"].map(|key| text(link, key)).join(" ");
    let mut there: Vec<String> =
        answer["links"].as_array().into_iter().flatten().map(line).collect();
    wanted.sort();
    there.sort();
    wanted == there
}
