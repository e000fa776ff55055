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
}

impl Transports {
    /// Number of what a stream shares that travels like this.
    pub fn join(&mut self, route: Route) -> u32 {
        *self.by_route.entry(route).or_insert_with(|| {
            self.list.push(Transport::default());
            self.list.len() as u32 - 1
        })
    }

    /// What has this number.
    #[inline]
    pub fn get(&mut self, number: u32) -> &mut Transport {
        &mut self.list[number as usize]
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
        let routes = [to(5000), to(5002), to(5000), Route::ByClient { client: 0 }];
        assert_eq!(routes.map(|route| transports.join(route)), [0, 1, 0, 2]);
        assert_eq!(transports.list.len(), 3);
    }
}
