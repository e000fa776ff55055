//! The sequence numbers that streams share which travel together.

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use raceway_loadgen_core::Transport;

use crate::plan::Route;

/// What streams share that travel from one address to another.
#[derive(Debug, Default)]
pub struct Transports {
    list: Vec<Transport>,
    by_route: HashMap<Route, u32, FixedState>,
    /// By stream.
    of: Vec<u32>,
}

impl Transports {
    /// The next stream travels like this.
    pub fn join(&mut self, route: Route) {
        let transport = *self.by_route.entry(route).or_insert_with(|| {
            self.list.push(Transport::default());
            self.list.len() as u32 - 1
        });
        self.of.push(transport);
    }

    /// What a stream shares.
    #[inline]
    pub fn of(&mut self, stream: u32) -> &mut Transport {
        &mut self.list[self.of[stream as usize] as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn streams_of_one_route_share_a_transport_and_others_do_not() {
        let to = |port| Route::Plain { port: 1, to: SocketAddr::from(([127, 0, 0, 1], port)) };
        let mut transports = Transports::default();
        for route in [to(5000), to(5002), to(5000), Route::ByClient { client: 0 }] {
            transports.join(route);
        }
        assert_eq!(transports.of, [0, 1, 0, 2]);
        assert_eq!(transports.list.len(), 3);
    }
}
