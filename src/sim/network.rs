//! What happens to a message between two nodes, or between a client and a node.

use crate::model::{Channel, Nanos, Packet, Random};
use crate::sim::{Latency, NodeId, Sites};

/// How the network behaves when no fault is injected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The time one message takes one way.
    pub latency: Latency,
    /// The probability that a message is lost.
    pub loss: f64,
    /// The probability that a message between nodes arrives twice.
    pub duplication: f64,
    /// The probability that a message between nodes is late, so that later ones overtake it.
    pub reordering: f64,
    /// Where the nodes stand.
    pub sites: Sites,
}

/// When a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Never: lost, or the link is cut.
    Dropped,
    /// Once, then.
    Once(Nanos),
    /// Twice, then and then.
    Twice(Nanos, Nanos),
}

const CHANNELS: usize = Channel::ALL.len();

/// The two lines of a node.
const SENDING: usize = 0;
const RECEIVING: usize = 1;

/// What happens to one message because the network of a node is bad.
#[derive(Default)]
struct Harm {
    lost: bool,
    doubled: bool,
    reordered: bool,
}

/// The links, their cuts, and the stream of chance that decides over each message.
#[derive(Clone, Debug)]
pub struct Network {
    conditions: Conditions,
    nodes: usize,
    /// How many faults cut the directed link, by `CHANNELS * (from * nodes + to) + channel`.
    cuts: Vec<u32>,
    /// When the last ordered message of a channel arrives, likewise. Each channel keeps its order, as
    /// a TCP connection does, unless the network reorders; a slow one does not delay the other.
    tails: Vec<Nanos>,
    /// By node, what becomes of everything that goes to it or comes from it.
    harm: Vec<Vec<Packet>>,
    /// By node, until when its own line is busy with what it sends, and with what it receives.
    busy: Vec<[Nanos; 2]>,
    random: Random,
}

impl Network {
    /// A whole network of so many nodes, with the stream `network` of this seed.
    pub fn new(nodes: usize, conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            nodes,
            cuts: vec![0; CHANNELS * nodes * nodes],
            tails: vec![Nanos(0); CHANNELS * nodes * nodes],
            harm: vec![Vec::new(); nodes],
            busy: vec![[Nanos(0); 2]; nodes],
            random: Random::stream(seed, "network"),
        }
    }

    /// Cuts one direction of a link, once more.
    pub fn cut(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        let stream = self.stream(from, to, channel);
        self.cuts[stream] += 1;
    }

    /// Takes one cut back; the link works again when every cut has been taken back.
    pub fn mend(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        let stream = self.stream(from, to, channel);
        self.cuts[stream] = self.cuts[stream].saturating_sub(1);
    }

    /// Lets that happen to everything that goes to or from a node, besides what already does.
    pub fn harm(&mut self, node: NodeId, packet: Packet) {
        self.harm[node.index()].push(packet);
    }

    /// Takes that back.
    pub fn spare(&mut self, node: NodeId, packet: Packet) {
        let harm = &mut self.harm[node.index()];
        if let Some(at) = harm.iter().position(|one| *one == packet) {
            harm.remove(at);
        }
    }

    /// Decides over a message between nodes that leaves at `departure`. What is under way when a link
    /// is cut still arrives.
    pub fn carry(
        &mut self,
        (from, to): (NodeId, NodeId),
        channel: Channel,
        departure: Nanos,
    ) -> Delivery {
        let stream = self.stream(from, to, channel);
        if self.cuts[stream] > 0 || self.happens(self.conditions.loss) {
            return Delivery::Dropped;
        }
        let (mut harm, mut departure) = (Harm::default(), departure);
        for (node, way) in [(from, SENDING), (to, RECEIVING)] {
            departure = self.suffer(node, way, departure, &mut harm);
        }
        if harm.lost {
            return Delivery::Dropped;
        }
        let distance = self.conditions.sites.between(from, to);
        let mut arrival = departure + distance + self.delay();
        if harm.reordered || self.happens(self.conditions.reordering) {
            for _ in 0..4 {
                arrival = arrival + self.delay();
            }
        } else {
            let tail = &mut self.tails[stream];
            arrival = arrival.max(*tail);
            *tail = arrival;
        }
        if harm.doubled || self.happens(self.conditions.duplication) {
            return Delivery::Twice(arrival, arrival + self.delay());
        }
        Delivery::Once(arrival)
    }

    /// When a message between a client and a node arrives; `None` if it is lost. Faults never cut
    /// these links, and one connection neither doubles nor reorders.
    pub fn carry_client(&mut self, node: NodeId, departure: Nanos) -> Option<Nanos> {
        let lost = self.happens(self.conditions.loss);
        let mut harm = Harm::default();
        let departure = self.suffer(node, RECEIVING, departure, &mut harm);
        (!lost && !harm.lost).then(|| departure + self.delay())
    }

    /// What a bad network does to a message at one node; when it is through. A message counts as a
    /// kilobyte where the rate is low.
    fn suffer(&mut self, node: NodeId, way: usize, at: Nanos, harm: &mut Harm) -> Nanos {
        let mut at = at;
        for which in 0..self.harm[node.index()].len() {
            let packet = self.harm[node.index()][which];
            let share = |percent: u8| f64::from(percent) / 100.0;
            harm.lost |= self.happens(share(packet.loss));
            harm.doubled |= self.happens(share(packet.duplicate));
            harm.reordered |= self.happens(share(packet.reorder));
            if let Some(takes) = 8_000_000_000_u64.checked_div(packet.rate_kbit) {
                let busy = &mut self.busy[node.index()][way];
                *busy = at.max(*busy) + Nanos(takes);
                at = *busy;
            }
            at = at + Nanos::from_millis(packet.delay_ms);
            if packet.jitter_ms > 0 {
                let most = Nanos::from_millis(packet.jitter_ms).0;
                at = at + Nanos(self.random.between(0, 2 * most)) - Nanos(most);
            }
        }
        at
    }

    fn stream(&self, from: NodeId, to: NodeId, channel: Channel) -> usize {
        CHANNELS * (from.index() * self.nodes + to.index()) + channel as usize
    }

    fn delay(&mut self) -> Nanos {
        self.conditions.latency.sample(&mut self.random)
    }

    /// Draws nothing for what cannot happen.
    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.random.chance(probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn network(loss: f64, duplication: f64, reordering: f64) -> Network {
        let latency = Latency::Uniform(Nanos(100), Nanos(200));
        Network::new(2, Conditions { latency, loss, duplication, reordering, sites: Sites::ONE }, 1)
    }

    fn arrivals(network: &mut Network, count: u64) -> Vec<Delivery> {
        (0..count).map(|at| network.carry((A, B), Channel::Status, Nanos(at))).collect()
    }

    #[test]
    fn a_link_keeps_its_order() {
        let all = arrivals(&mut network(0.0, 0.0, 0.0), 1000);
        let times: Vec<_> = all
            .iter()
            .map(|delivery| match delivery {
                Delivery::Once(time) => *time,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(times.is_sorted());
        assert!(times[0] >= Nanos(100) && times[999] <= Nanos(1199));
    }

    #[test]
    fn loss_duplication_and_reordering_have_their_shares() {
        let lossy = arrivals(&mut network(0.2, 0.0, 0.0), 10_000);
        let lost = lossy.iter().filter(|delivery| **delivery == Delivery::Dropped).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");

        let doubled = arrivals(&mut network(0.0, 0.1, 0.0), 10_000);
        let twice = doubled.iter().filter(|d| matches!(d, Delivery::Twice(..))).count();
        assert!((850..1_150).contains(&twice), "{twice}");

        let mixed = arrivals(&mut network(0.0, 0.0, 0.1), 10_000);
        let times: Vec<_> = mixed
            .iter()
            .filter_map(|d| if let Delivery::Once(time) = d { Some(*time) } else { None })
            .collect();
        let overtaken = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
        assert!((500..1_150).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn cuts_are_directed_and_heal_when_the_last_one_ends() {
        let mut network = network(0.0, 0.0, 0.0);
        let passes = |network: &mut Network, from, to| {
            network.carry((from, to), Channel::Replication, Nanos(0)) != Delivery::Dropped
        };
        network.cut(A, B, Channel::Replication);
        network.cut(A, B, Channel::Replication);
        assert!(!passes(&mut network, A, B));
        assert!(passes(&mut network, B, A));
        let status = network.carry((A, B), Channel::Status, Nanos(0));
        assert_ne!(status, Delivery::Dropped);
        assert!(network.carry_client(A, Nanos(0)).is_some());
        network.mend(A, B, Channel::Replication);
        assert!(!passes(&mut network, A, B));
        network.mend(A, B, Channel::Replication);
        assert!(passes(&mut network, A, B));
        network.mend(A, B, Channel::Replication);
        assert!(passes(&mut network, A, B));
    }

    #[test]
    fn a_slow_node_delays_whatever_goes_to_it_or_from_it() {
        let mut network = network(0.0, 0.0, 0.0);
        let slowness = Nanos::from_millis(5);
        let slow = Packet { delay_ms: 5, ..Packet::default() };
        let arrival = |network: &mut Network, from, to| {
            let Delivery::Once(time) = network.carry((from, to), Channel::Status, Nanos(0)) else {
                panic!("nothing is lost here");
            };
            (time, network.carry_client(to, Nanos(0)).expect("nothing is lost here"))
        };
        network.harm(B, slow);
        let (there, asked) = arrival(&mut network, A, B);
        assert!(there >= slowness && asked >= slowness);
        let (back, asked) = arrival(&mut network, B, A);
        assert!(back >= slowness && asked < slowness);
        network.spare(B, slow);
        let (next, asked) = arrival(&mut network, A, B);
        assert!(next >= there && asked < slowness, "a link keeps its order");
    }

    #[test]
    fn a_slow_channel_does_not_delay_the_other() {
        let mut network = network(0.0, 0.0, 0.0);
        network.carry((A, B), Channel::Replication, Nanos(1_000_000));
        let Delivery::Once(time) = network.carry((A, B), Channel::Status, Nanos(0)) else {
            panic!("nothing is lost here");
        };
        assert!(time <= Nanos(200));
    }

    #[test]
    fn a_bad_network_of_one_node_and_a_whole_one_after_it() {
        let mut network = network(0.0, 0.0, 0.0);
        let delay = Packet { delay_ms: 50, jitter_ms: 10, ..Packet::default() };
        network.harm(A, delay);
        let millis = |delivery: &Delivery| match delivery {
            Delivery::Once(time) => time.0 as f64 / 1e6,
            other => panic!("{other:?}"),
        };
        let late: Vec<f64> = arrivals(&mut network, 1).iter().map(millis).collect();
        assert!((40.0..60.1).contains(&late[0]), "{late:?}");
        assert!(network.carry_client(A, Nanos(0)) > Some(Nanos::from_millis(39)));
        assert!(network.carry_client(B, Nanos(0)) < Some(Nanos::from_millis(1)));
        network.spare(A, delay);

        let bad = Packet { loss: 30, duplicate: 20, ..Packet::default() };
        network.harm(B, bad);
        let all = arrivals(&mut network, 10_000);
        let share =
            |wanted: fn(&Delivery) -> bool| all.iter().filter(|delivery| wanted(delivery)).count();
        let lost = share(|delivery| *delivery == Delivery::Dropped);
        let twice = share(|delivery| matches!(delivery, Delivery::Twice(..)));
        assert!((2_800..3_200).contains(&lost), "{lost}");
        assert!((1_250..1_550).contains(&twice), "{twice}");
        network.spare(B, bad);

        // A hundred messages of a kilobyte at 800 kbit/s take a second.
        network.harm(A, Packet { rate_kbit: 800, ..Packet::default() });
        let last = arrivals(&mut network, 100).last().map(millis).expect("a hundred");
        assert!((999.0..1_060.0).contains(&last), "{last}");
    }
}
