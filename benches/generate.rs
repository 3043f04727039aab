//! How fast the next operation is found: a million questions and their answers.

use std::hint::black_box;
use std::sync::Arc;

use rashomon::generate::{Context, Generator, Next};
use rashomon::model::{Action, ClientEvent, Event, Kind, Nanos, What};
use rashomon::workload::Workload;

const OPERATIONS: u64 = 1_000_000;

fn main() {
    divan::main();
}

/// Every operation ends at once; each counts one question and two events.
#[divan::bench(args = ["uniform", "zipf(1.1)", "rotate(ops_per_key = 200)"])]
fn next_and_update(bencher: divan::Bencher<'_, '_>, choose: &str) {
    let text = "name = \"bench\"\noperation = [{ do = \"write\" }, { do = \"read\", weight = 2 }]\n\
                phases.main = \"1000h\"\ntarget.store = \"single\"\n";
    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let overrides =
        [set("keys.choose", choose), set("keys.count", "100"), set("clients.rate", "1e6")];
    let workload = Workload::parse("bench", text, &overrides).expect("it is sound");
    let nodes: Vec<Arc<str>> = ["n1", "n2", "n3"].map(Arc::from).to_vec();
    bencher
        .counter(divan::counter::ItemsCount::new(OPERATIONS))
        .with_inputs(|| workload.generator(7, &nodes))
        .bench_values(|mut generator| {
            let (mut now, mut done) = (Nanos(0), 0);
            while done < OPERATIONS {
                match generator.next(&Context { now, primary: None, fault_under_way: false }) {
                    Next::Do(Action::Invoke(invocation)) => {
                        let mut client =
                            ClientEvent::new(invocation.process, Kind::Invoke, invocation.op);
                        client.session = Some(invocation.session);
                        client.node = invocation.node;
                        let mut event = Event { time: now, what: What::Client(client) };
                        generator.update(&event);
                        if let What::Client(client) = &mut event.what {
                            client.kind = Kind::Ok;
                        }
                        generator.update(black_box(&event));
                        done += 1;
                    }
                    Next::WaitUntil(until) => now = until,
                    Next::Do(_) | Next::Done => break,
                }
            }
            generator
        });
}
