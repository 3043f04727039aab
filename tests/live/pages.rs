//! Reads that are answered in pages, by a server of ours that turns them as each test says.

use rashomon::model::{ClientEvent, Function, Kind, Op, Value};
use rashomon::target::{TargetConfig, open};

use crate::ask;
use crate::server::{Reply, Request, Server};

/// A read that goes on with the token at `/next`, and a get that goes on with a link.
const OPERATIONS: &str = r#"
[operation.read]
method = "POST"
path = "/set/${key|url}"
body = '{"from": ${page|json}}'
next = "/next"
version = "/revision"
value = { pointer = "/items" }
answer = [{ status = 200, is = "ok" }, { status = 404, is = "absent" }]
[operation.get]
method = "GET"
path = "/kv/${key|url}"
next = "link"
value = { pointer = "/items", decode = "siblings" }
answer = [{ status = 200, is = "ok" }, { status = 404, is = "absent" }]
"#;

/// How one operation ends at a server that answers so, and what it was asked.
fn ends(
    op: Op,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (ClientEvent, Vec<Request>) {
    let server = Server::start(reply);
    let text = format!(
        "name = \"pages\"\nadapter = \"http\"\ntimeout = \"20s\"\n[nodes]\nn1 = \"http://{}/base\"\n{OPERATIONS}",
        server.address
    );
    let config = TargetConfig::parse("pages.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let mut target = open(&config, None).expect("the server is there");
    let answer = ask(&mut *target, 1, op);
    target.close().expect("closed");
    let requests = server.requests().into_iter().filter(|one| !one.line.ends_with("/base/"));
    (answer, requests.collect())
}

fn read() -> Op {
    Op::read(Value::text("x"))
}

fn get() -> Op {
    Op::single(Function::Get, Value::text("x"), Value::Null)
}

fn page(body: &str) -> Reply {
    Reply::Answer(200, body.to_owned())
}

fn numbers(numbers: &[i64]) -> Value {
    Value::list(numbers.iter().map(|number| Value::Int(*number)))
}

#[test]
fn pages_are_read_until_the_last_and_joined() {
    for last in ["null", "\"\""] {
        let (answer, requests) = ends(read(), move |request| match &*request.body {
            r#"{"from": ""}"# => page(r#"{"items": [3, 1], "next": "a b", "revision": 7}"#),
            r#"{"from": "a b"}"# => page(r#"{"items": null, "next": 5, "revision": 7}"#),
            _ => page(&format!(r#"{{"items": [2], "next": {last}, "revision": "7"}}"#)),
        });
        assert_eq!((answer.kind, &answer.error), (Kind::Ok, &None));
        assert_eq!(answer.op.mops[0].value, numbers(&[3, 1, 2]));
        assert_eq!(answer.version, Some(7));
        let asked: Vec<_> = requests.iter().map(|one| (&*one.line, &*one.body)).collect();
        let line = "POST /base/set/x";
        let expected =
            [(line, r#"{"from": ""}"#), (line, r#"{"from": "a b"}"#), (line, r#"{"from": 5}"#)];
        assert_eq!(asked, expected);
    }
    // One page is as good as several, and what has two versions has none.
    let (answer, requests) = ends(read(), |_| page(r#"{"items": [4], "revision": 1}"#));
    assert_eq!((&answer.op.mops[0].value, answer.version), (&numbers(&[4]), Some(1)));
    assert_eq!(requests.len(), 1);
    let (answer, _) = ends(read(), |request| {
        let is_first = request.body.contains("\"\"");
        let first = r#"{"items": [4], "next": 1, "revision": 1}"#;
        page(if is_first { first } else { r#"{"items": [], "revision": 2}"# })
    });
    assert_eq!((&answer.op.mops[0].value, answer.version), (&numbers(&[4]), None));
}

#[test]
fn links_lead_to_the_next_page_of_the_same_node() {
    let linked = |link: &str, body: &str| Reply::With(link.to_owned(), 200, body.to_owned());
    let (answer, requests) = ends(get(), move |request| match &*request.line {
        "GET /base/kv/x" => linked(
            "Link: <?page=2>; rel=\"next\", </base/kv/x?page=9>; rel=\"last\"",
            r#"{"items": ["MQ=="]}"#,
        ),
        "GET /base/kv/x?page=2" => linked(
            "Link: </elsewhere>; title=\"more, and more\"; rel=next",
            r#"{"items": ["Mg==", null]}"#,
        ),
        _ => linked("Link: </base/kv/x>; rel=\"first prev\"", r#"{"items": ["Mw=="]}"#),
    });
    assert_eq!((answer.kind, &answer.error), (Kind::Ok, &None));
    assert_eq!(answer.op.mops[0].value, numbers(&[1, 2, 3]));
    let lines: Vec<_> = requests.iter().map(|one| &*one.line).collect();
    assert_eq!(lines, ["GET /base/kv/x", "GET /base/kv/x?page=2", "GET /elsewhere"]);
    for (link, expected) in [
        (
            "Link: <http://other:80/kv/x?page=2>; rel=next",
            "page 1: its link http://other/kv/x?page=2 leads to another node",
        ),
        ("Link: <http://[>; rel=next", "page 1: its link http://[: "),
        ("Link: <x?page=2>; rel=next", "page 2: the next one is `http://127.0.0.1:"),
    ] {
        let (answer, _) = ends(get(), move |_| linked(link, r#"{"items": []}"#));
        let why = answer.error.unwrap_or_default();
        assert_eq!(answer.kind, Kind::Fail);
        assert!(why.starts_with(expected), "{link}: {why}");
    }
}

#[test]
fn a_page_that_does_not_come_fails_the_read() {
    type Second = (fn() -> Reply, &'static str);
    let second: [Second; 7] = [
        (|| Reply::Answer(500, "oops".to_owned()), "page 2: no rule for the answer 500 oops"),
        (|| Reply::HangUp, "page 2: request failed"),
        (|| Reply::Torn, "page 2: the answer broke off"),
        (|| page("[]"), "page 2: no value at /items in the answer 200 []"),
        (|| page(r#"{"items": 3}"#), "page 2: 3 is no list"),
        // A token that is not valid any more is not the end of what there is.
        (|| Reply::Answer(404, "gone".to_owned()), "page 2: it is absent: 404 gone"),
        (
            || page(r#"{"items": [2], "next": "again"}"#),
            "page 2: the next one is `again`, which was there already",
        ),
    ];
    for (reply, expected) in second {
        let (answer, requests) = ends(read(), move |request| {
            if request.body.contains("again") {
                return reply();
            }
            page(r#"{"items": [1], "next": "again"}"#)
        });
        let why = answer.error.unwrap_or_default();
        assert_eq!(answer.kind, Kind::Fail, "{expected}");
        assert!(why.starts_with(expected), "{why}");
        assert_eq!(requests.len(), 2);
        assert_eq!(answer.op.mops[0].value, Value::Null, "half of it is nothing");
    }
}

#[test]
fn what_is_absent_has_no_pages() {
    let (answer, _) = ends(read(), |_| Reply::Answer(404, "{}".to_owned()));
    assert_eq!((answer.kind, &answer.op.mops[0].value), (Kind::Ok, &Value::Null));
    let (answer, _) = ends(get(), |_| Reply::Answer(404, "{}".to_owned()));
    assert_eq!((answer.kind, &answer.op.mops[0].value), (Kind::Ok, &numbers(&[])));
}

#[test]
fn pages_without_end_are_not_read_for_ever() {
    let (answer, requests) = ends(read(), |request| {
        let from: String = request.body.chars().filter(char::is_ascii_digit).collect();
        let next = from.parse().unwrap_or(0) + 1;
        page(&format!(r#"{{"items": [{next}], "next": {next}}}"#))
    });
    let why = answer.error.unwrap_or_default();
    assert_eq!(answer.kind, Kind::Fail);
    assert_eq!(why, "page 1000: it is not the last, and a read has at most 1000");
    assert_eq!(requests.len(), 1_000);
    // Nor are few that are long: a page of 6 MiB is, three are not.
    let (answer, requests) = ends(read(), |request| {
        let next = request.body.len();
        page(&format!(r#"{{"items": [1], "next": "{next}", "more": "{}"}}"#, "m".repeat(6 << 20)))
    });
    let why = answer.error.unwrap_or_default();
    assert_eq!(why, "page 3: all until here are longer than 16 MiB");
    assert_eq!(requests.len(), 3);
}
