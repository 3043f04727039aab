//! What happens to a message between two nodes, or between a client and a node.

use crate::model::{Channel, Nanos, Random};
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
    /// By node, how much longer everything takes that goes to it or comes from it.
    slowness: Vec<Nanos>,
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
            slowness: vec![Nanos(0); nodes],
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

    /// Lets everything that goes to or from a node take so much longer, once more.
    pub fn slow(&mut self, node: NodeId, by: Nanos) {
        let slowness = &mut self.slowness[node.index()];
        *slowness = *slowness + by;
    }

    /// Takes that back.
    pub fn hasten(&mut self, node: NodeId, by: Nanos) {
        let slowness = &mut self.slowness[node.index()];
        *slowness = *slowness - by;
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
        let slowness = self.slowness[from.index()] + self.slowness[to.index()];
        let distance = self.conditions.sites.between(from, to);
        let mut arrival = departure + slowness + distance + self.delay();
        if self.happens(self.conditions.reordering) {
            for _ in 0..4 {
                arrival = arrival + self.delay();
            }
        } else {
            let tail = &mut self.tails[stream];
            arrival = arrival.max(*tail);
            *tail = arrival;
        }
        if self.happens(self.conditions.duplication) {
            return Delivery::Twice(arrival, arrival + self.delay());
        }
        Delivery::Once(arrival)
    }

    /// When a message between a client and a node arrives; `None` if it is lost. Faults never cut
    /// these links, and one connection neither doubles nor reorders.
    pub fn carry_client(&mut self, node: NodeId, departure: Nanos) -> Option<Nanos> {
        let lost = self.happens(self.conditions.loss);
        (!lost).then(|| departure + self.slowness[node.index()] + self.delay())
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
        let slowness = Nanos(5_000);
        let arrival = |network: &mut Network, from, to| {
            let Delivery::Once(time) = network.carry((from, to), Channel::Status, Nanos(0)) else {
                panic!("nothing is lost here");
            };
            (time, network.carry_client(to, Nanos(0)).expect("nothing is lost here"))
        };
        network.slow(B, slowness);
        let (there, asked) = arrival(&mut network, A, B);
        assert!(there >= slowness && asked >= slowness);
        let (back, asked) = arrival(&mut network, B, A);
        assert!(back >= slowness && asked < slowness);
        network.hasten(B, slowness);
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
}
