//! When requests are sent, and which of them are measured.

use super::{Arrivals, MOST_AT_ONCE, Plan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How long a client waits after a failure: a server that refuses at once would be asked a thousand times a second.
const PAUSE: f64 = 0.25;
/// Share of the window that an open loop runs before it.
const WARM_UP: f64 = 0.25;

/// The moments of a load, in seconds since it began.
pub(super) struct Clock {
    arrivals: Arrivals,
    window: f64,
    most: u32,
    /// The beginning of the window, once it is known.
    pub(super) from: Option<f64>,
    /// Its end.
    pub(super) to: Option<f64>,
    /// Requests that were sent in the window.
    measured: u32,
    /// Closed loop: for each client when it sends next, and whether it has ended a request.
    clients: Vec<(f64, bool)>,
    /// Open loop: when the next request is due.
    due: f64,
    generator: ChaCha8Rng,
}

impl Clock {
    pub(super) fn new(plan: &Plan) -> Clock {
        let mut generator = ChaCha8Rng::seed_from_u64(plan.seed);
        let (clients, from, due) = match plan.arrivals {
            Arrivals::Clients(count) => (count.clamp(1, MOST_AT_ONCE), None, f64::INFINITY),
            Arrivals::Rate(rate) => (0, Some(plan.window * WARM_UP), gap(&mut generator, rate)),
        };
        Clock {
            arrivals: plan.arrivals,
            window: plan.window,
            most: plan.most.unwrap_or(u32::MAX),
            from,
            to: from.map(|from| from + plan.window),
            measured: 0,
            clients: vec![(0.0, false); clients as usize],
            due,
            generator,
        }
    }

    /// The next request that is due: its place among those on their way, and when it was due. `taken` tells which
    /// places are not free.
    pub(super) fn take_due(&mut self, now: f64, taken: impl Fn(usize) -> bool) -> Option<(usize, f64)> {
        match self.arrivals {
            Arrivals::Clients(_) => {
                let place = self.clients.iter().position(|(next, _)| *next <= now)?;
                self.clients[place].0 = f64::INFINITY;
                // Nobody waits for a client: what it sends is due when it sends it.
                Some((place, now))
            }
            Arrivals::Rate(rate) => {
                let due = self.due;
                let place =
                    (due <= now).then(|| (0..MOST_AT_ONCE as usize).find(|place| !taken(*place)))??;
                self.due += gap(&mut self.generator, rate);
                Some((place, due))
            }
        }
    }

    /// When something is due next; infinite when nothing is.
    pub(super) fn next(&self) -> f64 {
        self.clients.iter().map(|(next, _)| *next).fold(self.due, f64::min)
    }

    /// Whether a request that is due then is measured; counts it.
    pub(super) fn measures(&mut self, due: f64) -> bool {
        let measures = self.from.is_some_and(|from| due >= from) && self.to.is_some_and(|to| due < to);
        if measures {
            self.measured += 1;
            if self.measured >= self.most {
                self.to = Some(due);
            }
        }
        measures
    }

    /// Takes note of the end of a request: its client goes on, after a pause where it has failed.
    pub(super) fn ended(&mut self, place: usize, now: f64, failed: bool) {
        let Some(client) = self.clients.get_mut(place) else { return };
        *client = (if failed { now + PAUSE } else { now }, true);
        // The first requests of all clients are sent at once, which is a load of its own: it is not measured.
        if self.from.is_none() && self.clients.iter().all(|(_, has_ended)| *has_ended) {
            (self.from, self.to) = (Some(now), Some(now + self.window));
        }
    }

    /// Whether the window is open.
    pub(super) fn is_open(&self, now: f64) -> bool {
        self.from.is_some_and(|from| now >= from) && !self.is_over(now)
    }

    /// Whether the window has ended.
    pub(super) fn is_over(&self, now: f64) -> bool {
        self.to.is_some_and(|to| now >= to)
    }
}

/// Seconds between two arrivals of a Poisson process: exponential, by inversion.
fn gap(generator: &mut ChaCha8Rng, rate: f64) -> f64 {
    -(1.0 - generator.random::<f64>()).ln() / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arrivals: Arrivals) -> Plan {
        Plan { arrivals, window: 10.0, most: None, patience: 60.0, seed: 7 }
    }

    #[test]
    fn an_open_loop_sends_at_its_rate_whatever_the_answers_do() {
        let mut clock = Clock::new(&plan(Arrivals::Rate(50.0)));
        let mut dues = Vec::new();
        while let Some((_, due)) = clock.take_due(40.0, |_| false) {
            dues.push(due);
        }
        // 2,000 are expected; a Poisson count scatters by its root.
        assert!((1800..2200).contains(&dues.len()), "{}", dues.len());
        let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // An exponential spreads as far as it reaches.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.1, "{mean} {variance}");
        let measured = dues.iter().filter(|due| clock.measures(**due)).count();
        assert!((430..570).contains(&measured), "{measured}");
        let mut full = Clock::new(&plan(Arrivals::Rate(50.0)));
        assert_eq!(full.take_due(1.0, |_| true), None, "no place is left");
    }

    #[test]
    fn clients_wait_for_their_answers_and_the_first_ones_are_not_measured() {
        let mut clock = Clock::new(&plan(Arrivals::Clients(2)));
        let places = |clock: &mut Clock, now| {
            std::iter::from_fn(|| clock.take_due(now, |_| false)).map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(places(&mut clock, 0.0), [0, 1]);
        assert_eq!((places(&mut clock, 1.0).len(), clock.next()), (0, f64::INFINITY));
        clock.ended(0, 1.0, false);
        assert_eq!((places(&mut clock, 1.0), clock.measures(1.0)), (vec![0], false));
        clock.ended(1, 2.0, true);
        assert_eq!((clock.next(), clock.from, clock.to), (2.0 + PAUSE, Some(2.0), Some(12.0)));
        assert!(clock.measures(2.0) && !clock.measures(12.0) && clock.is_over(12.0) && clock.is_open(2.0));
    }

    #[test]
    fn the_window_ends_with_the_last_request_that_is_wanted() {
        let mut clock = Clock::new(&Plan { most: Some(2), ..plan(Arrivals::Rate(1.0)) });
        assert_eq!([2.4, 2.6, 3.0, 3.1].map(|due| clock.measures(due)), [false, true, true, false]);
        assert!(clock.is_over(3.0));
    }
}
