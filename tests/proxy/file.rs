//! The proxy file.

use rashomon::proxy::Definition;

const GOOD: &str = r#"control = "127.0.0.1:7100"
apart = [["n1", "n3"]]
[[link]]
from = "n1"
to = "n2"
listen = "127.0.0.1:7112"
connect = "127.0.0.1:2380"
[cluster]
listen = "127.0.0.1:7300"
peers = { n1 = "10.0.0.1:1", n2 = "10.0.0.2:2", n3 = "10.0.0.3:3" }
clients = { n3 = "10.0.0.3:33" }
"#;

#[test]
fn all_links_of_a_cluster_come_from_a_few_lines() {
    let links = |text: &str| -> Vec<String> {
        let definition = Definition::parse("links.toml", text).expect("a correct file");
        let line = |(way, port): (_, &rashomon::proxy::Port)| {
            format!("{way} {} {}", port.listen.port(), port.connect)
        };
        definition.links().map(line).collect()
    };
    let by_port = [
        "n1>n2 7112 127.0.0.1:2380",
        "n2>n1 7321 10.0.0.1:1",
        "n3>n1 7331 10.0.0.1:1",
        "n1>n2 7312 10.0.0.2:2",
        "n3>n2 7332 10.0.0.2:2",
        "clients>n3 7303 10.0.0.3:33",
        "n1>n3 7313 10.0.0.3:3",
        "n2>n3 7323 10.0.0.3:3",
    ];
    assert_eq!(links(GOOD), by_port);
    let by_source = links(&GOOD.replace("clients =", "sender = \"source\"\nclients ="));
    let shared = ["n2>n1 7310 10.0.0.1:1", "n3>n1 7310 10.0.0.1:1", "n1>n2 7320 10.0.0.2:2"];
    assert_eq!(by_source[1..4], shared);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let mistakes = [
        ("control =", "contrl =", "1:1: unknown field `contrl`"),
        ("127.0.0.1:7100", "0.0.0.0:7100", "1:11: whoever reaches it may cut the links"),
        ("to = \"n2\"", "to = \"n1\"", "5:6: a link leads from somebody to another node"),
        ("127.0.0.1:2380", "127.0.0.1", "7:11: expected an address like 127.0.0.1:2380"),
        ("127.0.0.1:7112", "127.0.0.1:7321", "127.0.0.1:7321 is that of n1>n2 too"),
        ("{ n3 =", "{ n4 =", "`clients` has a node n4 that `peers` has not"),
        ("\"n3\"]]", "\"n4\"]]", "2:9: no link has a node `n4`"),
    ];
    for (good, bad, expected) in mistakes {
        assert!(GOOD.contains(good), "{good}");
        let said = Definition::parse("links.toml", &GOOD.replacen(good, bad, 1));
        let said = said.expect_err(bad).to_string();
        assert!(said.starts_with("links.toml:") && said.contains(expected), "{bad}: {said}");
    }
}
