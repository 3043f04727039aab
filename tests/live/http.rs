//! The declarative HTTP adapter: what an answer means, and what happened if there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rashomon::model::{Function, Kind, Nanos, Op, Value};
use rashomon::target::{Target, TargetConfig, open};

use crate::server::{Reply, Server};
use crate::{ask, begin_at, completion, directory};

const OPERATIONS: &str = r#"
[operation.read]
method = "GET"
path = "/kv/${key|url}"
value = { pointer = "/item/value", decode = "integer" }
version = "/item/version"
answer = [
  { status = 200, pointer = "/item", exists = true, is = "ok" },
  { status = 404, is = "absent" },
  { status = "3xx", is = "info" },
]
[operation.write]
method = "PUT"
path = "/kv/${key|url}?node=${node}"
body = '{"value": ${value|json}}'
version = "/version"
answer = [
  { status = "2xx", is = "ok" },
  { status = 503, pointer = "/code", equals = "read-only", is = "fail" },
  { status = 409, pointer = "/applied", absent = true, is = "fail" },
]
[operation.cas]
method = "POST"
path = "/cas"
body = '[${key|json}, ${old|json}, ${new|base64|json}]'
answer = [{ status = 200, pointer = "/done", equals = true, is = "ok" }, { status = 200, is = "fail" }]
"#;

fn config(server: &Server, more: &str) -> TargetConfig {
    let text = format!(
        "name = \"test\"\nadapter = \"http\"\ntimeout = \"400ms\"\n{more}\n\
         [nodes]\nn1 = \"http://{}\"\n{OPERATIONS}",
        server.address
    );
    TargetConfig::parse("test.toml", &text).expect("a correct target file")
}

fn target(server: &Server) -> Box<dyn Target> {
    open(&config(server, ""), None).expect("the server is there")
}

fn write(value: i64) -> Op {
    Op::write(Value::text("x y"), Value::Int(value))
}

fn read() -> Op {
    Op::read(Value::text("x y"))
}

/// A server whose answer to everything is the same, and how a write and a read end then.
fn ends(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Kind, Kind, String, Server) {
    let server = Server::start(move |_| reply());
    let mut target = target(&server);
    let written = ask(&mut *target, 1, write(41));
    let read = ask(&mut *target, 2, read());
    target.close().expect("closed");
    (written.kind, read.kind, written.error.unwrap_or_default(), server)
}

#[test]
fn rules_decide_what_an_answer_means() {
    let answers = [
        (200, r#"{"version": 7}"#, Kind::Ok, Kind::Fail),
        (204, "", Kind::Ok, Kind::Fail),
        (503, r#"{"code": "read-only"}"#, Kind::Fail, Kind::Fail),
        (503, r#"{"code": "who knows"}"#, Kind::Info, Kind::Fail),
        (503, "<html>read-only", Kind::Info, Kind::Fail),
        (409, r#"{"applied": false}"#, Kind::Info, Kind::Fail),
        (409, r#"{"reason": "stale"}"#, Kind::Fail, Kind::Fail),
        // What cannot be parsed does not lack a field either.
        (409, "gateway", Kind::Info, Kind::Fail),
        (404, "", Kind::Info, Kind::Ok),
        (500, "", Kind::Info, Kind::Fail),
        // Redirects are not followed: the other place might act too.
        (307, "", Kind::Info, Kind::Fail),
        (200, r#"{"item": {"value": "12"}}"#, Kind::Ok, Kind::Ok),
        (200, r#"{"item": {"value": 12}}"#, Kind::Ok, Kind::Ok),
        (200, r#"{"item": {"value": "twelve"}}"#, Kind::Ok, Kind::Fail),
        // A value that is not where it should be is not "nothing".
        (200, r#"{"item": {}}"#, Kind::Ok, Kind::Fail),
    ];
    for (status, body, write_kind, read_kind) in answers {
        let (written, read, error, server) = ends(move || Reply::Answer(status, body.to_owned()));
        assert_eq!((written, read), (write_kind, read_kind), "{status} {body}: {error}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn requests_and_answers_carry_values_and_versions() {
    let server = Server::start(|request| match &request.line[..3] {
        "GET" => Reply::Answer(200, r#"{"item": {"value": "-3", "version": "9"}}"#.to_owned()),
        "PUT" => Reply::Answer(200, r#"{"version": 8}"#.to_owned()),
        _ => Reply::Answer(200, r#"{"done": true}"#.to_owned()),
    });
    let mut target = target(&server);
    let written = ask(&mut *target, 1, write(41));
    assert_eq!((written.kind, written.version, written.op), (Kind::Ok, Some(8), write(41)));
    assert_eq!(written.node.as_deref(), Some("n1"));
    assert_eq!(written.session, Some(101));
    let read = ask(&mut *target, 1, read());
    assert_eq!((read.version, &read.op.mops[0].value), (Some(9), &Value::Int(-3)));
    let cas = Op::cas(Value::text("\"k\""), Value::Int(1), Value::Int(2));
    let swapped = ask(&mut *target, 1, cas.clone());
    assert_eq!((swapped.kind, swapped.op), (Kind::Ok, cas));
    // What the file does not describe is not sent.
    let append = Op::single(rashomon::model::Function::Append, Value::Int(1), Value::Int(2));
    let refused = ask(&mut *target, 1, append);
    assert_eq!(refused.kind, Kind::Fail);
    assert!(refused.error.expect("a reason").contains("no [operation.append]"));
    let sent = server.requests();
    let lines: Vec<_> = sent.iter().map(|request| (&*request.line, &*request.body)).collect();
    assert_eq!(
        lines,
        [
            ("PUT /kv/x%20y?node=n1", "{\"value\": 41}"),
            ("GET /kv/x%20y", ""),
            ("POST /cas", "[\"\\\"k\\\"\", 1, \"Mg==\"]"),
        ]
    );
}

/// An answer that lasts until its connection closes may be the beginning of a longer one.
#[test]
fn what_may_be_cut_off_is_no_value() {
    for (decode, body, kind) in [
        ("integer", "12", Kind::Fail),
        ("json", "12", Kind::Fail),
        ("text", "twel", Kind::Fail),
        ("json", "[12", Kind::Fail),
        ("json", "[12]", Kind::Ok),
    ] {
        let server = Server::start(|_| Reply::Endless(200, body.to_owned()));
        let file = format!(
            "name = 'test'\nadapter = 'http'\n[nodes]\nn1 = 'http://{}'\n[operation.read]\n\
             method = 'GET'\npath = '/x'\nvalue = {{ decode = '{decode}' }}\n\
             answer = [{{ status = 200, is = 'ok' }}]\n[operation.write]\nmethod = 'PUT'\n\
             path = '/x'\nanswer = [{{ status = 200, is = 'ok' }}]\n",
            server.address
        );
        let config = TargetConfig::parse("test.toml", &file).expect("a correct target file");
        let mut target = open(&config, None).expect("the server is there");
        let answer = ask(&mut *target, 1, read());
        assert_eq!(answer.kind, kind, "{decode} {body}: {:?}", answer.error);
        // Its first line is all that a write has to be told.
        assert_eq!(ask(&mut *target, 1, write(1)).kind, Kind::Ok);
        target.close().expect("closed");
    }
}

/// A value that the store hands out is never left out: else it would look lost.
#[test]
fn what_is_taken_or_looked_at_is_in_the_answer() {
    for function in [Function::Dequeue, Function::Pop, Function::Poll, Function::Peek] {
        let server = Server::start(|request| match &*request.line {
            "POST /full" => Reply::Answer(200, r#"{"value": 7}"#.to_owned()),
            _ => Reply::Answer(404, String::new()),
        });
        let file = |value: &str| {
            format!(
                "name = 'test'\nadapter = 'http'\n[nodes]\nn1 = 'http://{}'\n[operation.{}]\n\
                 method = 'POST'\npath = '/${{key}}'\n{value}\n\
                 answer = [{{ status = 200, is = 'ok' }}, {{ status = 404, is = 'absent' }}]\n",
                server.address,
                function.name()
            )
        };
        let wrong = TargetConfig::parse("test.toml", &file("")).expect_err("no value");
        assert!(wrong.to_string().contains("returns a value"), "{wrong}");
        let right = TargetConfig::parse("test.toml", &file("value = { pointer = '/value' }"));
        let mut target = open(&right.expect("correct"), None).expect("the server is there");
        for (key, value) in [("full", Value::Int(7)), ("empty", Value::Null)] {
            let taken = ask(&mut *target, 1, Op::single(function, Value::text(key), Value::Null));
            assert_eq!((taken.kind, &taken.op.mops[0].value), (Kind::Ok, &value), "{function:?}");
        }
        target.close().expect("closed");
    }
}

/// What an older run left in a store must not be read by a newer one.
#[test]
fn every_run_has_keys_of_its_own() {
    let server = Server::start(|_| Reply::Answer(200, String::new()));
    let text = format!(
        "name = 'test'\nadapter = 'http'\n[nodes]\nn1 = 'http://{}'\n[operation.write]\n\
         method = 'PUT'\npath = '/${{run}}/${{run|base64}}${{key|base64}}'\n\
         answer = [{{ status = 200, is = 'ok' }}]",
        server.address
    );
    let config = TargetConfig::parse("test.toml", &text).expect("a correct target file");
    for _ in 0..2 {
        let mut target = open(&config, None).expect("the server is there");
        assert_eq!(ask(&mut *target, 1, write(1)).kind, Kind::Ok);
        assert_eq!(ask(&mut *target, 2, write(2)).kind, Kind::Ok);
    }
    let paths: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!((&paths[0], &paths[2]), (&paths[1], &paths[3]));
    assert_ne!(paths[0], paths[2]);
    // No padding between the two: they are the base64 of run and key together.
    let (run, key) = paths[0]["PUT /".len()..].split_once('/').expect("two parts");
    assert_eq!((run.len(), key.len()), (12, 20));
    assert!(key.ends_with("eCB5"), "{key}");
}

#[test]
fn silence_is_info_for_a_write_and_drops_the_connection() {
    let (written, read, error, server) = ends(|| Reply::Silence);
    assert_eq!((written, read), (Kind::Info, Kind::Fail));
    assert_eq!(error, "no answer within 400 ms");
    for _ in 0..100 {
        if server.abandoned() == 2 {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    assert_eq!((server.abandoned(), server.requests().len()), (2, 2));
}

#[test]
fn a_connection_that_breaks_after_the_request_is_info() {
    for (reply, name) in [
        ((|| Reply::Reset) as fn() -> Reply, "reset"),
        (|| Reply::HangUp, "hang up"),
        (|| Reply::Torn, "torn"),
    ] {
        let (written, read, error, server) = ends(reply);
        assert_eq!((written, read), (Kind::Info, Kind::Fail), "{name}: {error}");
        assert_eq!(server.requests().len(), 2, "{name}: nothing is sent again");
    }
}

#[test]
fn a_refused_connection_is_fail() {
    let server = Server::start(|_| Reply::Answer(200, String::new()));
    let mut target = target(&server);
    assert_eq!(ask(&mut *target, 1, write(1)).kind, Kind::Ok);
    let _refusing = server.stop();
    // A process that has no connection yet: nothing can have been sent.
    let refused = ask(&mut *target, 2, write(2));
    assert_eq!(refused.kind, Kind::Fail, "{refused:?}");
    let error = refused.error.expect("a reason");
    assert!(error.starts_with("cannot connect") && error.contains("refused"), "{error}");
    // It may go on.
    assert_eq!(ask(&mut *target, 2, write(3)).kind, Kind::Fail);
}

/// The server closes each connection behind its answer without having said so. A request that meets the
/// closed connection may be info or may be sent on a new one, but never twice.
#[test]
fn nothing_is_sent_twice_over_connections_that_went_stale() {
    let server = Server::start(|_| Reply::AnswerThenClose(200, String::new()));
    let mut target = target(&server);
    let mut ok = Vec::new();
    let mut process = 0;
    for value in 0..300 {
        match ask(&mut *target, process, write(value)).kind {
            Kind::Ok => ok.push(value),
            Kind::Info => process += 1,
            kind => panic!("write {value} is {}", kind.name()),
        }
    }
    let mut sent: Vec<i64> = server
        .requests()
        .iter()
        .map(|request| request.body[10..request.body.len() - 1].parse().expect("a number"))
        .collect();
    let all = sent.len();
    sent.dedup();
    assert_eq!(sent.len(), all, "sent twice");
    assert!(ok.iter().all(|value| sent.binary_search(value).is_ok()));
    assert!(ok.len() > 100, "only {} ok", ok.len());
}

/// Cargo sets this variable for every test, so it can play the secret.
const SECRET: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn a_header_from_the_environment_reaches_the_server_and_nobody_else() {
    let server = Server::start(|request| {
        let token = request.head.lines().find(|line| line.starts_with("authorization: "));
        Reply::Answer(500, format!("I did not like {}", token.unwrap_or("nothing")))
    });
    let more = "headers = { Authorization = 'Bearer ${env:CARGO_MANIFEST_DIR}' }";
    let config = config(&server, more);
    let mut target = open(&config, None).expect("the variable is set");
    let written = ask(&mut *target, 1, write(1));
    let head = &server.requests()[0].head;
    assert!(head.contains(&format!("authorization: Bearer {SECRET}")), "{head}");
    let error = written.error.clone().expect("a reason");
    assert!(error.contains("500 I did not like authorization: Bearer ***"), "{error}");
    for shown in [format!("{written:?}"), format!("{config:?}"), config.description().to_string()] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_target_that_cannot_be_used_says_why() {
    let server = Server::start(|_| Reply::Answer(200, "{\"up\": false}".to_owned()));
    let message = |config: &TargetConfig| match open(config, None) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    };
    let missing = config(&server, "headers = { X = '${env:RASHOMON_NO_SUCH_VARIABLE}' }");
    let error = message(&missing);
    assert!(
        error.contains("header X: the environment has no variable RASHOMON_NO_SUCH"),
        "{error}"
    );

    let rule = "[{ status = 200, pointer = '/up', equals = true, is = 'ok' }]";
    let ready = format!("ready = {{ path = '/up', within = '200ms', answer = {rule} }}");
    let error = message(&config(&server, &ready));
    assert!(error.contains("node n1 at http://127.0.0.1:"), "{error}");
    assert!(
        error.contains("is not ready after 200 ms: /up answers 200 {\"up\": false}"),
        "{error}"
    );

    let gone = config(&server, "ready = { path = '/', within = '200ms' }");
    let _refusing = server.stop();
    let error = message(&gone);
    assert!(error.contains("is not ready after 200 ms: cannot connect"), "{error}");
}

#[test]
fn setup_is_torn_down_even_if_a_node_is_not_ready() {
    let directory = directory("setup");
    let server = Server::start(|_| Reply::Answer(200, String::new()));
    let address = server.address;
    let _refusing = server.stop();
    let text = format!(
        "name = 'test'\nadapter = 'http'\nready = {{ path = '/', within = '100ms' }}\n\
         setup = {{ command = 'echo \"$url\" > \"$DIR/$node\"' }}\n\
         teardown = {{ command = 'mv \"$DIR/$node\" \"$DIR/$node.down\"' }}\n\
         [environment]\nDIR = '{}'\n[nodes]\nn1 = 'http://{address}/base/'\n",
        directory.display()
    );
    let config = TargetConfig::parse("test.toml", &text).expect("a correct target file");
    assert!(open(&config, Some(&directory)).is_err());
    let left = std::fs::read_to_string(directory.join("n1.down")).expect("it was torn down");
    assert_eq!(left.trim(), format!("http://{address}/base"));
    std::fs::remove_dir_all(directory).expect("ours");
}

#[test]
fn who_leads_is_who_says_so() {
    let leader = Arc::new(AtomicUsize::new(2));
    let leads = leader.clone();
    let server = Server::start(move |request| {
        let own = &request.line["GET /".len()..][..1];
        Reply::Answer(200, format!(r#"{{"own": "{own}", "leader": "{}"}}"#, leads.load(SeqCst)))
    });
    let rule = "{ pointer = '/leader', same = '/own', is = 'ok' }";
    let text = format!(
        "name = 'test'\nadapter = 'http'\n[nodes]\nn1 = 'http://{0}/1'\nn2 = 'http://{0}/2'\n\
         [ready]\npath = '/up'\n[primary]\nmethod = 'GET'\npath = '/'\nanswer = [{rule}]",
        server.address
    );
    let config = TargetConfig::parse("test.toml", &text).expect("a correct target file");
    let mut target = open(&config, None).expect("the server is there");
    assert_eq!(target.primary().as_deref(), Some("n2"), "known before the run");
    for (now, believed) in [(1, "n1"), (7, "n1"), (2, "n2")] {
        leader.store(now, SeqCst);
        // Two rounds of asking, and as many more as a busy machine needs.
        for round in 0.. {
            let until = target.now() + Nanos::from_millis(600);
            assert_eq!(target.advance(until), None);
            if target.primary().as_deref() == Some(believed) {
                break;
            }
            assert!(round < 10, "{:?} is believed to lead, not {believed}", target.primary());
        }
    }
}

#[test]
fn processes_do_not_wait_for_each_other() {
    let server = Server::start(|request| {
        if request.body.ends_with(" 13}") {
            Reply::Silence
        } else {
            Reply::Answer(200, String::new())
        }
    });
    let mut target = target(&server);
    begin_at(&mut *target, 1, "n1", write(13));
    for process in 2..40 {
        begin_at(&mut *target, process, "n1", write(i64::from(process) * 100));
    }
    let done: Vec<_> = (1..40).map(|_| completion(&mut *target)).collect();
    assert!(done[..38].iter().all(|client| client.kind == Kind::Ok));
    assert_eq!((done[38].kind, done[38].process.0), (Kind::Info, 1));
}

const LOCK: &str = r#"
[operation.acquire]
method = "POST"
path = "/lock/${key|url}"
body = '{"lease": ${before:/lease|json}}'
before = { method = "POST", path = "/lease/${node}" }
value = { pointer = "/token", decode = "integer" }
answer = [{ status = 200, is = "ok" }, { status = 409, is = "fail" }]
"#;

#[test]
fn what_a_request_needs_is_asked_for_before_it() {
    let leases = AtomicUsize::new(0);
    let server = Server::start(move |request| match &*request.line {
        "POST /lease/n1" if leases.fetch_add(1, SeqCst) == 1 => Reply::Answer(500, "{}".to_owned()),
        "POST /lease/n1" => Reply::Answer(200, r#"{"lease": "77"}"#.to_owned()),
        _ => Reply::Answer(200, r#"{"token": "12"}"#.to_owned()),
    });
    let mut target = open(&config(&server, LOCK), None).expect("the server is there");
    let acquire = || Op::single(Function::Acquire, Value::text("a"), Value::Null);
    let taken = ask(&mut *target, 1, acquire());
    assert_eq!(taken.kind, Kind::Ok);
    assert_eq!(taken.op.mops[0].value, Value::Int(12));
    let refused = ask(&mut *target, 1, acquire());
    assert_eq!(refused.kind, Kind::Fail);
    assert_eq!(refused.error.as_deref(), Some("nothing was sent: /lease/n1 answers 500 {}"));
    target.close().expect("closed");
    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|one| (&*one.line, &*one.body)).collect();
    let lease = ("POST /lease/n1", "");
    assert_eq!(sent, [lease, ("POST /lock/a", r#"{"lease": "77"}"#), lease]);
}
