//! The control endpoint: rules are set, proved, renewed and removed here.
//!
//! ```text
//! PUT    /rule/ID     {"ways": ["n1>n2"], "effect": {"cut": {}}, "heal-within-ms": 30000}
//! DELETE /rule/ID     a rule that is not there is removed already
//! PUT    /probe/ID    200: what the rule says is so; 409: it is not, and why
//! PUT    /renew       every lease, also the proxy's own; /renew/PREFIX: of the rules called so
//! GET    /rules       links and rules, and what each rule has stopped
//! DELETE /            the proxy ends
//! ```
//!
//! Nothing is changed by `GET` and `POST`, which a page in a browser could send here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::proxy::definition::CLIENTS;
use crate::proxy::http::{Request, Response};
use crate::proxy::link::{Gate, Probes};
use crate::proxy::probe::{self, Pair, Place};
use crate::proxy::rule::{Asked, Rule, Rules, Stopped};

/// What is known of a proxy.
pub(super) struct Control {
    gates: Vec<Arc<Gate>>,
    probes: Arc<Probes>,
    apart: Vec<[String; 2]>,
    /// Changed by one at a time, so that the links have the rules of the table.
    rules: Mutex<BTreeMap<String, InForce>>,
    /// How long it goes on without being renewed, and until when.
    lease: Option<(Duration, SyncMutex<Instant>)>,
    is_over: AtomicBool,
}

/// A rule, its lease, and connections that were there before it.
struct InForce {
    rule: Arc<Rule>,
    expires: Instant,
    standing: Vec<(Place, Option<Pair>)>,
}

impl Control {
    pub(super) fn new(
        gates: Vec<Arc<Gate>>,
        probes: Arc<Probes>,
        apart: Vec<[String; 2]>,
        lease: Option<Duration>,
    ) -> Self {
        let lease = lease.map(|lease| (lease, SyncMutex::new(Instant::now() + lease)));
        let (rules, is_over) = (Mutex::default(), AtomicBool::new(false));
        Self { gates, probes, apart, rules, lease, is_over }
    }

    pub(super) fn is_over(&self) -> bool {
        let now = Instant::now();
        self.is_over.load(Ordering::Relaxed)
            || self
                .lease
                .as_ref()
                .is_some_and(|(_, until)| until.lock().is_ok_and(|until| *until < now))
    }

    /// Removes the rules whose lease is over.
    pub(super) async fn expire(&self) {
        let mut rules = self.rules.lock().await;
        let (now, count) = (Instant::now(), rules.len());
        rules.retain(|_, one| one.expires > now);
        if rules.len() < count {
            self.apply(&rules);
        }
    }

    /// Does what a request asks for.
    pub(super) async fn answer(&self, request: &Request) -> Response {
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match (request.method.as_str(), &path[..]) {
            ("GET", ["rules"]) => self.show().await,
            ("PUT", ["rule", id]) if !id.is_empty() => {
                match serde_json::from_slice(&request.body) {
                    Ok(asked) => self.put(id, asked).await.unwrap_or_else(|why| refusal(400, &why)),
                    Err(error) => refusal(400, &error.to_string()),
                }
            }
            ("DELETE", ["rule", id]) => self.remove(id).await,
            ("PUT", ["probe", id]) => self.probe(id).await,
            ("PUT", ["renew"]) => self.renew("").await,
            ("PUT", ["renew", prefix]) => self.renew(prefix).await,
            ("DELETE", [""]) => {
                self.is_over.store(true, Ordering::Relaxed);
                good(&json!({"ended": true}))
            }
            (method, _) => refusal(404, &format!("there is no {method} {}", request.path)),
        }
    }

    async fn put(&self, id: &str, asked: Asked) -> Result<Response, String> {
        asked.validate()?;
        let places = self.places(&asked)?;
        let mut rules = self.rules.lock().await;
        let lease = Duration::from_millis(asked.heal_within_ms);
        if let Some(there) = rules.get_mut(id).filter(|there| there.rule.asked == asked) {
            there.expires = Instant::now() + lease;
            return Ok(good(&json!({"id": id})));
        }
        let mut standing = JoinSet::new();
        for (at, place) in places.into_iter().enumerate() {
            let probes = self.probes.clone();
            standing.spawn(async move {
                let pair = probe::stand(&place.link, &probes).await;
                (at, place, pair)
            });
        }
        let mut standing = standing.join_all().await;
        standing.sort_by_key(|(at, ..)| *at);
        let standing = standing.into_iter().map(|(_, place, pair)| (place, pair)).collect();
        let begun = Instant::now();
        let stopped = Stopped::default();
        let rule = Arc::new(Rule { id: id.to_owned(), asked, begun, stopped });
        rules.insert(id.to_owned(), InForce { rule, expires: begun + lease, standing });
        self.apply(&rules);
        Ok(good(&json!({"id": id})))
    }

    /// The directions that a rule concerns.
    fn places(&self, asked: &Asked) -> Result<Vec<Place>, String> {
        let links = || self.gates.iter().flat_map(|gate| &gate.links);
        let all: Vec<Place> = links()
            .flat_map(|link| {
                [true, false].map(|is_forward| Place { link: link.clone(), is_forward })
            })
            .collect();
        let way = |place: &Place| {
            if place.is_forward { place.link.way.clone() } else { place.link.way.back() }
        };
        for wanted in &asked.ways {
            let are_apart = self.apart.iter().any(|[one, other]| {
                (&wanted.from, &wanted.to) == (one, other)
                    || (&wanted.from, &wanted.to) == (other, one)
            });
            if !are_apart && !all.iter().any(|place| way(place) == *wanted) {
                let known: Vec<String> = links().map(|link| link.way.to_string()).collect();
                return Err(format!(
                    "no link carries {wanted}, so it cannot be stopped; there are {}. If these two \
                     never talk to each other, say so in the proxy file: apart = [[\"{}\", \"{}\"]]",
                    known.join(", "),
                    wanted.from,
                    wanted.to
                ));
            }
        }
        for node in &asked.nodes {
            if node == CLIENTS
                || !links().any(|link| [&link.way.from, &link.way.to].contains(&node))
            {
                return Err(format!("no link has a node `{node}`"));
            }
        }
        Ok(all.into_iter().filter(|place| asked.concerns(&way(place))).collect())
    }

    /// Gives every direction the rules that concern it. When this returns they are in force.
    fn apply(&self, rules: &BTreeMap<String, InForce>) {
        for link in self.gates.iter().flat_map(|gate| &gate.links) {
            for (way, sender) in
                [(link.way.clone(), &link.forward), (link.way.back(), &link.backward)]
            {
                let of_way = rules.values().filter(|one| one.rule.asked.concerns(&way));
                let new: Rules = of_way.map(|one| one.rule.clone()).collect();
                sender.send_if_modified(|old| {
                    let same = old.len() == new.len()
                        && old.iter().zip(new.iter()).all(|(old, new)| Arc::ptr_eq(old, new));
                    *old = new;
                    !same
                });
            }
        }
    }

    async fn remove(&self, id: &str) -> Response {
        let mut rules = self.rules.lock().await;
        let Some(removed) = rules.remove(id) else {
            return good(&json!({"id": id, "was-there": false}));
        };
        self.apply(&rules);
        good(&json!({"id": id, "was-there": true, "stopped": removed.rule.stopped.json()}))
    }

    async fn renew(&self, prefix: &str) -> Response {
        let now = Instant::now();
        if let Some((lease, until)) = &self.lease
            && let Ok(mut until) = until.lock()
        {
            *until = now + *lease;
        }
        let mut renewed = Vec::new();
        for (id, one) in self.rules.lock().await.iter_mut().filter(|(id, _)| id.starts_with(prefix))
        {
            one.expires = now + Duration::from_millis(one.rule.asked.heal_within_ms);
            renewed.push(id.clone());
        }
        good(&json!({"renewed": renewed}))
    }

    async fn probe(&self, id: &str) -> Response {
        let taken = {
            let mut rules = self.rules.lock().await;
            rules.get_mut(id).map(|one| (one.rule.clone(), std::mem::take(&mut one.standing)))
        };
        let Some((rule, mut standing)) = taken else {
            return refusal(
                409,
                &format!("there is no rule {id}: it was removed, or its lease is over"),
            );
        };
        if standing.is_empty() {
            // Another probe has them just now, or the nodes never talk.
            let places = self.places(&rule.asked).unwrap_or_default();
            standing = places.into_iter().map(|place| (place, None)).collect();
        }
        let mut checks = JoinSet::new();
        for (at, (place, mut pair)) in standing.into_iter().enumerate() {
            let (rule, probes) = (rule.clone(), self.probes.clone());
            checks.spawn(async move {
                let checked = probe::check(&rule, &place, pair.as_mut(), &probes).await;
                (at, place, pair, checked)
            });
        }
        let mut checked = checks.join_all().await;
        checked.sort_by_key(|(at, ..)| *at);
        let wrong: Vec<String> =
            checked.iter().filter_map(|(.., checked)| checked.clone().err()).collect();
        let count = checked.len();
        let mut rules = self.rules.lock().await;
        let Some(there) = rules.get_mut(id).filter(|one| Arc::ptr_eq(&one.rule, &rule)) else {
            return refusal(409, &format!("the rule {id} ended meanwhile"));
        };
        there.standing = checked.into_iter().map(|(_, place, pair, _)| (place, pair)).collect();
        if wrong.is_empty() {
            return good(&json!({"id": id, "in-force": count, "stopped": rule.stopped.json()}));
        }
        refusal(409, &format!("{id} is not in force: {}", wrong.join("; ")))
    }

    async fn show(&self) -> Response {
        let now = Instant::now();
        let links = |gate: &Arc<Gate>| {
            let strangers = gate.strangers.load(Ordering::Relaxed);
            let links = gate.links.iter().map(|link| {
                json!({
                    "way": link.way,
                    "listen": link.listen,
                    "connect": link.connect,
                    "open": link.open.load(Ordering::Relaxed),
                    "opened": link.opened.load(Ordering::Relaxed),
                    "strangers": strangers,
                })
            });
            links.collect::<Vec<_>>()
        };
        let links: Vec<serde_json::Value> = self.gates.iter().flat_map(links).collect();
        let rules = self.rules.lock().await;
        let rules = rules.iter().map(|(id, one)| {
            json!({
                "id": id,
                "asked": one.rule.asked,
                "in-force-ms": now.duration_since(one.rule.begun).as_millis() as u64,
                "expires-in-ms": one.expires.saturating_duration_since(now).as_millis() as u64,
                "stopped": one.rule.stopped.json(),
            })
        });
        let lease = self.lease.as_ref().and_then(|(_, until)| {
            Some(until.lock().ok()?.saturating_duration_since(now).as_millis() as u64)
        });
        good(&json!({
            "pid": std::process::id(),
            "ends-in-ms": lease,
            "links": links,
            "rules": rules.collect::<Vec<_>>(),
        }))
    }
}

fn good(body: &serde_json::Value) -> Response {
    Response { status: 200, body: body.to_string() }
}

fn refusal(status: u16, why: &str) -> Response {
    Response { status, body: json!({"error": why}).to_string() }
}
