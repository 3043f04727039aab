//! The schemas that `rashomon schema` prints know what the readers know: the files that come with rashomon
//! keep to them, and no field is in one and not in the other.
#![cfg(all(feature = "cli", feature = "stores"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rashomon::target::TargetConfig;
use rashomon::workload::{Scenario, Workload};
use serde_json::Value;

fn schema(of: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_rashomon")).args(["schema", of]).output();
    serde_json::from_slice(&output.expect("it starts").stdout).expect("JSON")
}

/// What of a value is against a schema, of as much of JSON Schema as ours use.
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference.trim_start_matches("#/$defs/");
        found.extend(wrong(root, &root["$defs"][target], value, at));
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect::<Vec<_>>(),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the type {other}"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is) {
        found.push(format!("{at}: {value} is not {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let each: Vec<_> = any.iter().map(|one| wrong(root, one, value, at)).collect();
        if each.iter().all(|wrong| !wrong.is_empty()) {
            found.push(format!("{at}: none of {each:?}"));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            found.push(format!("{at}: no {name}"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(known), _) => found.extend(wrong(root, known, inner, &at)),
            (None, Value::Bool(false)) => found.push(format!("{at}: unknown")),
            (None, other) if other.is_object() => found.extend(wrong(root, other, inner, &at)),
            (None, _) => {}
        }
    }
    if schema["items"].is_object() {
        for inner in value.as_array().into_iter().flatten() {
            found.extend(wrong(root, &schema["items"], inner, at));
        }
    }
    found
}

fn below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                files.push(path);
            }
        }
    }
    files
}

fn keeps(schema: &Value, value: &Value, file: &Path) {
    let wrong = wrong(schema, schema, value, "");
    assert!(wrong.is_empty(), "{}: {wrong:?}", file.display());
}

fn toml(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).expect("TOML")).expect("JSON")
}

#[test]
fn every_file_here_keeps_to_its_schema() {
    let (workload, target, history) = (schema("workload"), schema("target"), schema("history"));
    let mut seen = [0; 3];
    for file in below("workloads", "toml") {
        let text = fs::read_to_string(&file).expect("a text");
        let has = |word: &str| text.lines().any(|line| line.starts_with(word));
        if has("adapter") || has("extends") {
            keeps(&target, &toml(&text), &file);
            seen[1] += 1;
        } else if has("[[operation]]") && !Scenario::is_one(&text) {
            keeps(&workload, &toml(&text), &file);
            seen[0] += 1;
        }
    }
    for file in [below("histories/valid", "jsonl"), below("histories/invalid", "jsonl")].concat() {
        for line in fs::read_to_string(&file).expect("a text").lines() {
            keeps(&history, &serde_json::from_str(line).expect("JSON"), &file);
        }
        seen[2] += 1;
    }
    assert!(seen[0] > 15 && seen[1] > 30 && seen[2] > 100, "{seen:?}");
    let event = r#"{"index":2,"time":3,"process":"nemesis","type":"info","f":"kill","fault":1,"begins":true}"#;
    keeps(&history, &serde_json::from_str(event).expect("JSON"), Path::new("an event"));
    let typo = toml("name = \"w\"\noperation = []\nphases = { mian = \"1s\" }\ntarget = {}\n");
    assert_eq!(wrong(&workload, &workload, &typo, "").len(), 2, "a field too many, one too few");
}

/// The names that a reader lists when it meets one that it does not know.
fn known(message: &str) -> Vec<String> {
    let (_, names) = message.split_once("unknown field `zzz`, expected ").expect(message);
    let line = names.lines().next().unwrap_or_default();
    let line = line.split(';').next().unwrap_or_default();
    let mut names: Vec<String> = line.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    names.sort();
    names
}

fn named(schema: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        schema["properties"].as_object().expect("properties").keys().cloned().collect();
    names.sort();
    names
}

#[test]
fn a_workload_has_the_fields_of_its_schema() {
    let schema = schema("workload");
    let properties = &schema["properties"];
    let message = |text: &str| {
        let wrong = Workload::parse("w.toml", text, &[]).expect_err("it is wrong");
        wrong.iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(known(&message("zzz = 1\n")), named(&schema));
    for section in ["clients", "keys", "bank", "stock", "limits", "phases"] {
        let message = message(&format!("[{section}]\nzzz = 1\n"));
        assert_eq!(known(&message), named(&properties[section]), "{section}");
    }
    assert_eq!(known(&message("[expect]\nzzz = 1\n")), named(&schema["$defs"]["expect"]));
    for list in ["operation", "fault"] {
        let message = message(&format!("[[{list}]]\nzzz = 1\n"));
        assert_eq!(known(&message), named(&properties[list]["items"]), "{list}");
    }
}

#[test]
fn a_target_has_the_fields_of_its_schema() {
    let schema = schema("target");
    let (properties, parts) = (&schema["properties"], &schema["$defs"]);
    let message = |text: &str| TargetConfig::parse("t.toml", text).expect_err(text).to_string();
    let mut top = named(&schema);
    top.retain(|name| name != "extends");
    assert_eq!(known(&message("zzz = 1\n")), top);
    for (section, schema) in [
        ("sigv4", &properties["sigv4"]),
        ("ready", &properties["ready"]),
        ("primary", &properties["primary"]),
        ("operation.read", &parts["operation"]),
        ("operation.read.before", &parts["operation"]["properties"]["before"]),
        ("operation.read.value", &parts["operation"]["properties"]["value"]),
        ("redis", &properties["redis"]),
        ("redis.wait", &properties["redis"]["properties"]["wait"]),
        ("redis.sentinel", &properties["redis"]["properties"]["sentinel"]),
        ("postgres", &parts["sql"]),
        ("mysql", &parts["sql"]),
        ("process", &properties["process"]),
        ("fault.kill", &parts["fault"]),
        ("renew", &properties["renew"]),
        ("setup", &properties["setup"]),
        ("teardown", &properties["teardown"]),
        ("lab", &properties["lab"]),
        ("proxy", &properties["proxy"]),
        ("road", &properties["road"]),
    ] {
        let message = message(&format!("[{section}]\nzzz = 1\n"));
        assert_eq!(known(&message), named(schema), "{section}");
    }
    for section in ["tarantool", "zookeeper", "nats", "rabbitmq"] {
        let message = message(&format!("[{section}]\nzzz = 1\n"));
        assert_eq!(known(&message), named(&properties[section]), "{section}");
    }
    let message = message("[ready]\nanswer = [{ zzz = 1 }]\n");
    assert_eq!(known(&message), named(&parts["rule"]));
}

#[test]
fn a_history_has_the_fields_of_its_schema() {
    let schema = schema("history");
    let known = |line: &str| {
        let read = rashomon::history::read_bytes("h.jsonl", line.as_bytes(), None);
        let message = read.expect_err("it is wrong").to_string();
        let (_, names) = message.split_once("expected one of ").expect("names");
        let mut names: Vec<String> = names.split(", ").map(|name| name.trim().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(known("{\"zzz\":1}\n"), named(&schema["$defs"]["event"]));
    let operation =
        "{\"i\":0,\"p\":0,\"type\":\"ok\",\"inv\":0,\"ret\":1,\"f\":\"r\",\"k\":\"x\",\"zzz\":1}\n";
    assert_eq!(known(operation), named(&schema["$defs"]["operation"]));
}
