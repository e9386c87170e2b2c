//! Minimum-cost flow over a small network: successive shortest paths, costs compared lexicographically.
//!
//! Ours, because the engine is what this project exists for and because costs here are tuples: with one number each
//! preference would need a weight that outbids all lesser ones at any size of fleet.

use std::collections::VecDeque;
use std::ops::{Add, Neg};

/// A cost whose first part outweighs every amount of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost(pub(super) [i64; 5]);

impl Add for Cost {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
        self
    }
}

impl Neg for Cost {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.map(i64::neg))
    }
}

/// A network of numbered nodes, from 0.
#[derive(Debug)]
pub(super) struct Network {
    /// Arc `n` and its reverse, arc `n ^ 1`, stand side by side.
    arcs: Vec<Arc>,
    /// The arcs that leave each node.
    leaving: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Arc {
    to: usize,
    room: u64,
    cost: Cost,
}

/// Names an arc, to ask for its flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArcId(usize);

impl Network {
    /// Returns a network without arcs.
    pub(super) fn new(nodes: usize) -> Self {
        Self { arcs: Vec::new(), leaving: vec![Vec::new(); nodes] }
    }

    /// Adds an arc.
    pub(super) fn arc(&mut self, from: usize, to: usize, room: u64, cost: Cost) -> ArcId {
        let id = self.arcs.len();
        self.arcs.push(Arc { to, room, cost });
        self.arcs.push(Arc { to: from, room: 0, cost: -cost });
        self.leaving[from].push(id);
        self.leaving[to].push(id + 1);
        ArcId(id)
    }

    /// Returns how much flows through an arc.
    pub(super) fn flow(&self, arc: ArcId) -> u64 {
        self.arcs[arc.0 ^ 1].room
    }

    /// Sends up to `amount` more from `source` to `sink`, as much as there is room for, so that everything that was sent
    /// so far goes as cheaply as it can.
    ///
    /// Earlier flow is rerouted where that is cheaper in all, but as much of it arrives as before: several sources may
    /// send one after the other, in any order. Ties go to the arc that was added first, so the same network always gives
    /// the same flow.
    pub(super) fn send(&mut self, source: usize, sink: usize, mut amount: u64) {
        while amount > 0 {
            let Some(path) = self.cheapest_path(source, sink) else { return };
            let room = path.iter().map(|&arc| self.arcs[arc].room).min().unwrap_or(0).min(amount);
            for arc in path {
                self.arcs[arc].room -= room;
                self.arcs[arc ^ 1].room += room;
            }
            amount -= room;
        }
    }

    /// Bellman and Ford's search with a queue; arcs of the residual network may have negative costs.
    fn cheapest_path(&self, source: usize, sink: usize) -> Option<Vec<usize>> {
        let mut best: Vec<Option<Cost>> = vec![None; self.leaving.len()];
        let mut came_by = vec![usize::MAX; self.leaving.len()];
        let mut queued = vec![false; self.leaving.len()];
        best[source] = Some(Cost::default());
        let mut queue = VecDeque::from([source]);
        while let Some(node) = queue.pop_front() {
            queued[node] = false;
            let Some(so_far) = best[node] else { continue };
            for &id in &self.leaving[node] {
                let arc = &self.arcs[id];
                let cost = so_far + arc.cost;
                if arc.room > 0 && best[arc.to].is_none_or(|known| cost < known) {
                    best[arc.to] = Some(cost);
                    came_by[arc.to] = id;
                    if !queued[arc.to] {
                        queued[arc.to] = true;
                        queue.push_back(arc.to);
                    }
                }
            }
        }
        best[sink]?;
        let mut path = Vec::new();
        let mut node = sink;
        while node != source {
            path.push(came_by[node]);
            node = self.arcs[came_by[node] ^ 1].to;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(first: i64, second: i64) -> Cost {
        Cost([first, second, 0, 0, 0])
    }

    /// Sends one unit after the other, and each search looks at every arc as often as there are nodes.
    fn send_slowly(network: &mut Network, source: usize, sink: usize) {
        loop {
            let mut best: Vec<Option<(Cost, usize)>> = vec![None; network.leaving.len()];
            best[source] = Some((Cost::default(), usize::MAX));
            for _ in 0..network.leaving.len() {
                for (id, arc) in network.arcs.iter().enumerate().filter(|(_, arc)| arc.room > 0) {
                    let Some((so_far, _)) = best[network.arcs[id ^ 1].to] else { continue };
                    let cost = so_far + arc.cost;
                    if best[arc.to].is_none_or(|(known, _)| cost < known) {
                        best[arc.to] = Some((cost, id));
                    }
                }
            }
            let Some(_) = best[sink] else { return };
            let mut node = sink;
            while node != source {
                let (_, id) = best[node].unwrap();
                network.arcs[id].room -= 1;
                network.arcs[id ^ 1].room += 1;
                node = network.arcs[id ^ 1].to;
            }
        }
    }

    /// Returns how much flows out of node 0, and what all of it costs.
    fn amount_and_cost(network: &Network) -> (u64, Cost) {
        let flows = (0..network.arcs.len()).step_by(2).map(|id| (id, network.flow(ArcId(id))));
        flows.fold((0, Cost::default()), |(amount, cost), (id, flow)| {
            let times = |part: i64| part * i64::try_from(flow).unwrap();
            let is_first = network.arcs[id ^ 1].to == 0;
            (amount + if is_first { flow } else { 0 }, cost + Cost(network.arcs[id].cost.0.map(times)))
        })
    }

    proptest::proptest! {
        #[test]
        fn no_other_search_sends_it_for_less(
            arcs in proptest::collection::vec((0..7_usize, 1..8_usize, 0..4_u64, 0..3_i64, 0..4_i64), 1..40)
        ) {
            let network = || {
                let mut network = Network::new(8);
                for (from, to, room, first, second) in &arcs {
                    if from != to {
                        network.arc(*from, *to, *room, cost(*first, *second));
                    }
                }
                network
            };
            let (mut fast, mut slowly) = (network(), network());
            fast.send(0, 7, u64::MAX);
            send_slowly(&mut slowly, 0, 7);
            proptest::prop_assert_eq!(amount_and_cost(&fast), amount_and_cost(&slowly));
        }

        #[test]
        fn sources_that_send_one_after_the_other_pay_no_more_than_all_at_once(
            amounts in proptest::collection::vec(0..5_u64, 3),
            arcs in proptest::collection::vec((1..4_usize, 4..8_usize, 0..3_i64, 0..4_i64), 1..12),
            rooms in proptest::collection::vec((0..4_u64, 0..3_i64), 4),
        ) {
            // From 1, 2 and 3 by 4 to 7 to the sink, 8, which takes everything, at a price.
            let network = || {
                let mut network = Network::new(9);
                for (source, amount) in (1..4).zip(&amounts) {
                    network.arc(0, source, *amount, Cost::default());
                }
                for (from, to, first, second) in &arcs {
                    network.arc(*from, *to, 9, cost(*first, *second));
                }
                for (from, (room, first)) in (4..8).zip(&rooms) {
                    network.arc(from, 8, *room, cost(*first, 0));
                    network.arc(from, 8, 99, cost(9, 0));
                }
                network
            };
            let (mut at_once, mut in_turn) = (network(), network());
            at_once.send(0, 8, u64::MAX);
            for (source, amount) in (1..4).zip(&amounts) {
                in_turn.send(source, 8, *amount);
            }
            // Nothing went through the source's own arcs, which cost nothing.
            proptest::prop_assert_eq!(amount_and_cost(&at_once).1, amount_and_cost(&in_turn).1);
        }
    }

    #[test]
    fn the_cheap_arc_fills_first() {
        let mut network = Network::new(3);
        network.arc(0, 1, 5, Cost::default());
        let dear = network.arc(1, 2, 5, cost(1, 0));
        let cheap = network.arc(1, 2, 3, cost(0, 1000));
        network.send(0, 2, u64::MAX);
        assert_eq!((network.flow(cheap), network.flow(dear)), (3, 2));
    }

    #[test]
    fn a_greedy_first_choice_is_taken_back_for_coverage() {
        // Two sources of one unit; the first can go to either sink arc and prefers the one that the second needs.
        let mut network = Network::new(6);
        let (source, first, second, narrow, wide, sink) = (0, 1, 2, 3, 4, 5);
        network.arc(source, first, 1, Cost::default());
        network.arc(source, second, 1, Cost::default());
        let preferred = network.arc(first, narrow, 1, cost(0, 0));
        let other = network.arc(first, wide, 1, cost(0, 5));
        let only = network.arc(second, narrow, 1, cost(0, 9));
        network.arc(narrow, sink, 1, Cost::default());
        network.arc(wide, sink, 1, Cost::default());
        network.send(source, sink, u64::MAX);
        assert_eq!((network.flow(preferred), network.flow(other), network.flow(only)), (0, 1, 1));
    }
}
