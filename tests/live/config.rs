//! Target files that are wrong, and where they say so.

use rashomon::model::Function;
use rashomon::target::TargetConfig;

const GOOD: &str = r#"name = "test"
adapter = "http"
[nodes]
n10 = "http://127.0.0.1:10/"
n2 = "http://127.0.0.1:2/base"
[headers]
X-Token = "${env:TOKEN}"
[operation.read]
method = "GET"
path = "/kv/${key|url}"
value = { pointer = "/value", decode = "base64|integer" }
answer = [
  { status = 200, is = "ok" },
]
[operation.write]
method = "PUT"
path = "/kv/${key|url}"
body = '{"value": ${value|json}}'
answer = [{ status = "2xx", is = "ok" }]
[fault.kill]
inject = "kill"
undo = "start"
timeout = "3s"
"#;

#[test]
fn a_good_file_is_understood() {
    let config = TargetConfig::parse("good.toml", GOOD).expect("good");
    let nodes: Vec<_> = config.nodes().map(|(name, url)| format!("{name} {url}")).collect();
    assert_eq!(nodes, ["n2 http://127.0.0.1:2/base", "n10 http://127.0.0.1:10"]);
    assert_eq!(config.functions().collect::<Vec<_>>(), [Function::Read, Function::Write]);
    assert_eq!(config.faults().collect::<Vec<_>>(), ["kill"]);
    assert_eq!(config.timeout.0.as_millis(), 1_000);
    let description = config.description().to_string();
    assert!(description.contains("n2: \"http://127.0.0.1:2/base\""), "{description}");
}

/// One replacement in the good file, and what is said of it, with line and column.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "${key|url}\"\nvalue",
        "${kye|url}\"\nvalue",
        "10:8: unknown placeholder `kye`; did you mean `key`?",
    ),
    ("${key|url}\"\nbody", "${key|rul}\"\nbody", "17:8: unknown filter `rul`; did you mean `url`?"),
    ("${key|url}\"\nvalue", "${value}\"\nvalue", "10:8: a read has no ${value}"),
    ("${value|json}", "${old|json}", "18:8: a write has no ${old}"),
    ("${value|json}", "${env:TOKEN}", "18:8: a write has no ${env:TOKEN}"),
    ("${env:TOKEN}", "${key}", "7:11: ${key} cannot stand in a header; expected ${env:NAME}"),
    ("\"/kv/${key|url}\"\nvalue", "\"kv/${key}\"\nvalue", "10:8: a path begins with `/`"),
    ("value = {", "valeu = {", "11:1: unknown field `valeu`, expected one of"),
    ("value = {", "valeu = {", "; did you mean `value`?"),
    ("value = { pointer", "version = \"/v\" # { pointer", "10:8: a read returns a value"),
    ("\"/value\"", "\"value\"", "11:21: `value` is no JSON pointer; expected one like `/value`"),
    (
        "base64|integer",
        "base64|interger",
        "11:40: unknown decoder `interger`; did you mean `integer`?",
    ),
    ("is = \"ok\" },\n", "is = \"okay\" },\n", "13:24: unknown variant `okay`, expected one of"),
    ("status = 200", "status = 20", "13:14: 20 is no status; expected one like 200 or \"2xx\""),
    ("\"2xx\"", "\"2x\"", "19:22: \"2x\" is no status"),
    (
        "status = 200",
        "pointer = \"/a\"",
        "13:3: a `pointer` needs one of `equals`, `same`, `exists`, `absent`",
    ),
    ("status = 200", "exists = true", "13:3: a condition needs a `pointer`"),
    (
        "{ status = 200, is = \"ok\" }",
        "{ is = \"ok\" }",
        "13:3: a rule needs a `status` or a `pointer`",
    ),
    (
        "\"2xx\", is = \"ok\"",
        "404, is = \"absent\"",
        "19:11: a write reads nothing that may be absent",
    ),
    (
        "operation.write",
        "operation.wirte",
        "15:12: unknown operation `wirte`; did you mean `write`?",
    ),
    ("operation.write", "operation.w", "15:12: unknown operation `w`"),
    ("\"PUT\"", "\"PTU\"", "16:10: unknown method `PTU`; did you mean `PUT`?"),
    (
        "http://127.0.0.1:10/",
        "https://127.0.0.1:10/",
        "4:7: https://127.0.0.1:10/: expected http://",
    ),
    ("http://127.0.0.1:10/", "http://u:secret@127.0.0.1:10/", "4:7: an address must hold no user"),
    ("http://127.0.0.1:10/", "127.0.0.1", "4:7: 127.0.0.1: relative URL without a base"),
    (
        "\"3s\"",
        "\"3 years\"",
        "23:11: `3 years` is no time limit; expected one like 500ms, 10s or 2m",
    ),
    ("\"3s\"", "3", "23:11: `3` is no time limit; expected one like 500ms"),
    (
        "adapter = \"http\"",
        "adapter = \"htpp\"",
        "2:11: unknown variant `htpp`, expected one of `http`, `redis`,",
    ),
    ("undo = \"start\"\n", "", "20:1: missing field `undo`"),
    (
        "value = {",
        "next = \"/next\"\nvalue = {",
        "11:8: without ${page} in `path` or `body` it is the first page again",
    ),
    ("${key|url}\"\nvalue", "${page}\"\nvalue", "10:8: ${page} needs `next = \"/POINTER\"`"),
    (
        "${key|url}\"\nvalue",
        "${page}\"\nnext = \"link\"\nvalue",
        "11:8: a link is all of an address; leave out ${page}",
    ),
    (
        "value = {",
        "next = \"lnik\"\nvalue = {",
        "11:8: `lnik` is no JSON pointer; expected one like `/lnik`, or `link`",
    ),
    (
        "body = '{",
        "next = \"link\"\nbody = '{",
        "18:8: a write has no pages; only read, final and get have",
    ),
    (
        "value = {",
        "before = { method = \"GET\", path = \"/${page}\" }\nvalue = {",
        "what goes before is asked once, so it has no ${page}",
    ),
    ("name = \"test\"", "name = \"test", "1:"),
];

#[test]
fn a_mistake_is_told_with_its_place_and_its_mend() {
    for (good, bad, expected) in MISTAKES {
        assert!(GOOD.contains(good), "{good}");
        let text = GOOD.replacen(good, bad, 1);
        let error = TargetConfig::parse("bad.toml", &text).expect_err(bad).to_string();
        assert!(error.starts_with("bad.toml:") && error.contains(expected), "{bad}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// A target of another adapter, and what is said of it.
const OTHERS: &[(&str, &str)] = &[
    ("adapter = \"reddis\"", "2:11: unknown variant `reddis`, expected one of"),
    ("adapter = \"reddis\"", "; did you mean `redis`?"),
    ("adapter = \"redis\"\n[redis]\nwiat = 1", "4:1: unknown field `wiat`, expected one of"),
    ("adapter = \"redis\"\n[redis]\nwiat = 1", "; did you mean `wait`?"),
    ("adapter = \"redis\"\n[redis]\nwait = { replicas = 300 }", "4:21: "),
    ("adapter = \"redis\"\n[redis]\nwait = { replicas = 1, timeout = \"soon\" }", "no time limit"),
    (
        "adapter = \"redis\"\n[mysql]\n",
        "3:1: [mysql] is for adapter = \"mysql\", and this target has \"redis\"",
    ),
    ("adapter = \"redis\"\n[headers]\nA = \"b\"", "[headers] is for adapter = \"http\""),
    (
        "adapter = \"postgres\"\n[postgres]\nisolation = \"serialisable\"",
        "did you mean `serializable`?",
    ),
    ("adapter = \"postgres\"\n[postgres]\nupdate = \"atomc\"", "did you mean `atomic`?"),
    ("adapter = \"mysql\"\n[mysql]\nsession = { \"a b\" = 1 }", "`a b` is no name of a variable"),
    ("adapter = \"mysql\"\n[mysql]\nsession = { a = [1] }", "expected a text, a number"),
    ("adapter = \"process\"", "needs a section [process]"),
    (
        "adapter = \"process\"\n[process]\ncommand = \"x\"\nfunctions = [\"raed\"]",
        "did you mean `read`?",
    ),
    ("adapter = \"none\"\nfollow = \"primry\"", "did you mean `primary`?"),
];

#[test]
fn options_of_other_adapters_are_checked() {
    let nodes = "\n[nodes]\nn1 = \"127.0.0.1:10\"\n";
    for (text, expected) in OTHERS {
        let text = format!("name = \"test\"\n{text}{nodes}");
        let error = TargetConfig::parse("bad.toml", &text).expect_err(&text).to_string();
        assert!(error.starts_with("bad.toml:") && error.contains(expected), "{text}: {error}");
    }
    for address in ["127.0.0.1", "http://127.0.0.1:10", "user:secret@host:10", "host:99999"] {
        let text = format!("name = \"test\"\nadapter = \"redis\"\n[nodes]\nn1 = \"{address}\"\n");
        let error = TargetConfig::parse("bad.toml", &text).expect_err(&text).to_string();
        assert_eq!(error, "bad.toml:4:6: expected an address like 10.0.0.1:6379");
    }
}

#[test]
fn the_nodes_of_a_lab_are_not_written_down() {
    let lab =
        "[lab]\nstore = \"etcd\"\nurl = \"http://${address}:2379\"\nset = { mode = \"fast\" }\n";
    let nodes = "[nodes]\nn10 = \"http://127.0.0.1:10/\"\nn2 = \"http://127.0.0.1:2/base\"\n";
    let text = GOOD.replace(nodes, lab);
    let config = TargetConfig::parse("lab.toml", &text).expect("a lab has the nodes");
    let choice = config.lab.as_ref().expect("it is there").get_ref();
    assert_eq!((choice.store.as_str(), choice.nodes, choice.keep), ("etcd", None, false));
    assert_eq!(config.nodes().count(), 0);
    let mistakes = [
        (GOOD.replace("[headers]", &format!("{lab}[headers]")), "leave out [nodes] or [lab]"),
        (text.replace("${address}", "10.77.0.1"), "expected `${address}` in it"),
        (text.replace("store =", "stroe ="), "did you mean `store`?"),
    ];
    for (text, expected) in mistakes {
        let error = TargetConfig::parse("lab.toml", &text).expect_err(expected).to_string();
        assert!(error.starts_with("lab.toml:") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_file_says_only_what_differs_from_another() {
    let targets = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/targets/own.toml");
    let lab = "name = \"own\"\n[lab]\nstore = \"etcd\"\nurl = \"http://${address}:2379\"\n";
    let text = format!("extends = \"etcd.toml\"\ntimeout = \"3s\"\n{lab}");
    let config = TargetConfig::parse(targets, &text).expect("etcd.toml is right");
    assert_eq!(config.name, "own");
    assert_eq!(config.adapter.name(), "http");
    assert_eq!(config.timeout.0.as_secs(), 3);
    assert!(config.functions().any(|function| function.name() == "cas"));
    assert_eq!(config.nodes().len() + config.faults().count(), 0, "they are of other machines");
    let nodes = "extends = \"etcd.toml\"\n[nodes]\nn3 = \"http://h:1\"\n";
    let config = TargetConfig::parse(targets, nodes).expect("nodes are laid over nodes");
    let addresses: Vec<String> = config.nodes().map(|(_, url)| url.to_owned()).collect();
    assert_eq!(addresses[1..], ["http://127.0.0.1:23792", "http://h:1"]);
    for (text, expected) in [
        ("extends = 1", "own.toml:1:11: expected a file"),
        ("\nextends = \"absent.toml\"", "own.toml:2:11: failed to read"),
        ("extends = \"process.md\"", "process.md:"),
        ("extends = \"lab-etcd.toml\"", "itself extends a file"),
        ("extends = \"etcd.toml\"\ncolour = 1", "own.toml:2:1: unknown field `colour`"),
        ("extends = \"etcd.toml\"\nadapter = \"none\"", "is for adapter = \"http\""),
    ] {
        let error = TargetConfig::parse(targets, text).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_files_that_are_shipped_are_right() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/targets");
    let mut count = 0;
    for file in std::fs::read_dir(directory).expect("the folder of target files").flatten() {
        if file.path().extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(file.path()).expect("a text");
        let name = file.path().display().to_string();
        // The links of a proxy, which a target file names.
        if name.ends_with("-links.toml") {
            continue;
        }
        TargetConfig::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn any_text_is_read_or_refused() {
    proptest::proptest!(|(at in 0..GOOD.len(), noise in "[ -~\n]{0,3}", cut in 0..4_usize)| {
        let text = format!("{}{noise}{}", &GOOD[..at], GOOD.get(at + cut..).unwrap_or(""));
        let _ = TargetConfig::parse("noise.toml", &text);
    });
}
