//! What is asked of Garage's K2V, at a double that checks every signature and keeps siblings by its rules.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rashomon::model::{Function, Kind, Op, Value};
use rashomon::target::{Target, TargetConfig, open};
use sha2::{Digest, Sha256};

use crate::server::{Reply, Request, Server};
use crate::{ask, directory};

const SECRET: &str = "7261736861736861";

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits: Vec<String> = bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Whether a request is signed as the specification says: all of it is made anew from what came.
fn is_signed(request: &Request) -> bool {
    let (method, address) = request.line.split_once(' ').expect("a request line");
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (Some(host), Some(time), Some(payload), Some(authorization)) = (
        header(request, "host"),
        header(request, "x-amz-date"),
        header(request, "x-amz-content-sha256"),
        header(request, "authorization"),
    ) else {
        return false;
    };
    let names = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{time}\n\n\
         {names}\n{payload}"
    );
    let day = &time[..8];
    let scope = format!("{day}/garage/k2v/aws4_request");
    let hash = hex(Sha256::digest(canonical));
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, "garage", "k2v", "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(mac(&key, &format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}")));
    payload == hex(Sha256::digest(&request.body))
        && authorization
            == format!(
                "AWS4-HMAC-SHA256 Credential=GK1/{scope}, SignedHeaders={names}, \
                 Signature={signature}"
            )
}

/// What is there of each key, each with its number; a token is the number of the last that it covers.
#[derive(Default)]
struct Double {
    items: BTreeMap<String, Vec<(u64, String)>>,
    last: u64,
}

impl Double {
    fn answer(&mut self, request: &Request) -> Reply {
        if !is_signed(request) {
            return Reply::Answer(403, "the signature is another one".to_owned());
        }
        let (method, address) = request.line.split_once(' ').expect("a request line");
        let siblings = self.items.entry(address.to_owned()).or_default();
        if method == "PUT" {
            let token = header(request, "x-garage-causality-token");
            let covered = token.map_or(0, |token| token.parse().expect("a token of ours"));
            siblings.retain(|(number, _)| *number > covered);
            self.last += 1;
            siblings.push((self.last, request.body.clone()));
            return Reply::Answer(204, String::new());
        }
        let Some((last, _)) = siblings.last() else {
            return Reply::Answer(404, r#"{"code": "NoSuchKey"}"#.to_owned());
        };
        let shown: Vec<String> =
            siblings.iter().map(|(_, value)| BASE64_STANDARD.encode(value)).collect();
        let body = serde_json::to_string(&shown).expect("texts");
        Reply::With(format!("X-Garage-Causality-Token: {last}"), 200, body)
    }
}

/// The shipped target file of that name, with the double in the place of the lab.
fn target(server: &Server, file: &str, secret: &str) -> Box<dyn Target> {
    let base = "lab-garage-k2v-no-tokens.toml";
    let shipped = |name: &str| {
        std::fs::read_to_string(format!("workloads/targets/{name}")).expect("it is shipped")
    };
    let text = shipped(base);
    let (head, rest) = text.split_once("[lab]").expect("a lab");
    let (_, rest) = rest.split_once("[sigv4]").expect("a signature");
    let nodes = format!("[nodes]\nn1 = \"http://{}\"\n", server.address);
    let keys = format!("[environment]\nGARAGE_KEY = \"GK1\"\nGARAGE_SECRET = \"{secret}\"\n");
    let folder = directory(&format!("{file}-{secret}"));
    std::fs::write(folder.join(base), format!("{head}{nodes}{keys}[sigv4]{rest}"))
        .expect("written");
    if file != base {
        std::fs::write(folder.join(file), shipped(file)).expect("written");
    }
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).expect("just written");
    let config = TargetConfig::parse(&path.display().to_string(), &text);
    open(&config.expect("a correct target file"), Some(&folder)).expect("the server is there")
}

fn double() -> Server {
    let double = Mutex::new(Double::default());
    Server::start(move |request| double.lock().expect("no panic").answer(request))
}

fn put(value: i64, context: &[i64]) -> Op {
    let context = Value::list(context.iter().map(|value| Value::Int(*value)));
    let entries = [(Value::text("val"), Value::Int(value)), (Value::text("ctx"), context)];
    Op::single(Function::Put, Value::text("cart 1"), Value::Map(entries.into()))
}

fn get(target: &mut dyn Target, process: u32) -> Vec<i64> {
    let got = ask(target, process, Op::single(Function::Get, Value::text("cart 1"), Value::Null));
    assert_eq!(got.kind, Kind::Ok, "{:?}", got.error);
    let shown = got.op.mops[0].value.clone();
    shown.as_list().expect("a list").iter().filter_map(Value::as_int).collect()
}

#[test]
fn what_was_read_is_replaced_and_the_rest_is_kept() {
    let server = double();
    let mut target = target(&server, "lab-garage-k2v.toml", SECRET);
    assert!(get(&mut *target, 1).is_empty());
    assert_eq!(ask(&mut *target, 1, put(1, &[])).kind, Kind::Ok);
    assert_eq!(ask(&mut *target, 2, put(2, &[])).kind, Kind::Ok);
    assert_eq!(get(&mut *target, 1), [1, 2]);
    assert_eq!(ask(&mut *target, 2, put(3, &[])).kind, Kind::Ok);
    // Whoever read it, the token stands for what was read.
    assert_eq!(ask(&mut *target, 2, put(4, &[1, 2])).kind, Kind::Ok);
    assert_eq!(get(&mut *target, 3), [3, 4]);
    target.close().expect("closed");
}

#[test]
fn without_tokens_nothing_is_replaced() {
    let server = double();
    let mut target = target(&server, "lab-garage-k2v-no-tokens.toml", SECRET);
    for value in 1..=3 {
        let seen = get(&mut *target, 1);
        assert_eq!(ask(&mut *target, 1, put(value, &seen)).kind, Kind::Ok);
    }
    assert_eq!(get(&mut *target, 2), [1, 2, 3]);
    target.close().expect("closed");
}

/// A node that has lost its bucket does not say that nothing was put into it.
#[test]
fn without_a_bucket_nothing_is_read() {
    let lost = r#"{"code": "NoSuchBucket", "message": "Bucket not found: lab"}"#;
    let server = Server::start(move |_| Reply::Answer(404, lost.to_owned()));
    let mut target = target(&server, "lab-garage-k2v.toml", SECRET);
    let got = Op::single(Function::Get, Value::text("cart 1"), Value::Null);
    assert_eq!(ask(&mut *target, 1, got).kind, Kind::Fail);
    target.close().expect("closed");
}

#[test]
fn a_context_that_nobody_was_told_is_not_sent() {
    let server = double();
    let mut target = target(&server, "lab-garage-k2v.toml", SECRET);
    let done = ask(&mut *target, 1, put(1, &[7]));
    assert_eq!(done.kind, Kind::Fail);
    let said = "nothing was sent: nobody was told the context of what it replaces";
    assert_eq!(done.error.as_deref(), Some(said));
    target.close().expect("closed");
    assert!(server.requests().is_empty());
}

#[test]
fn a_wrong_secret_is_refused_and_not_shown() {
    let server = double();
    // The double says it in its answer.
    let mut target = target(&server, "lab-garage-k2v.toml", "another one");
    let done = ask(&mut *target, 1, put(1, &[]));
    assert_eq!(done.kind, Kind::Fail);
    assert_eq!(done.error.as_deref(), Some("403 the signature is ***"));
    target.close().expect("closed");
}
