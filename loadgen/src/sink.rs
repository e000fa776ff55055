//! `sink`: receives streams and measures them.

use anyhow::{Result, ensure};
use raceway_loadgen_core::report::Report;

use crate::cli::Sink;
use crate::crew::BackEnd;
use crate::plan::{Plan, Port};
use crate::result;
use crate::session::{Interrupt, Session};
use crate::sockets;
use crate::worker::Expectation;
use crate::xdp;

/// Runs `sink`.
///
/// # Errors
/// It could not be run, and why.
pub fn run(options: Sink, interrupt: &Interrupt) -> Result<Report> {
    if options.common.backend == BackEnd::Xdp {
        return xdp::sink::run(options, interrupt);
    }
    ensure!(options.interface.is_none(), "--interface is for --backend xdp: sockets listen at addresses");
    let addresses = options.listen.local()?;
    sockets::allow(addresses.len() as u64)?;
    let session = Session::new(options.common, interrupt)?;
    let mut cores = session.cores(0.0)?;
    cores.truncate(addresses.len());
    let mut plans: Vec<Plan> = cores.iter().map(|_| Plan::default()).collect();
    for (at, address) in addresses.iter().enumerate() {
        let fd = sockets::open_at(*address)?;
        plans[at % cores.len()].ports.push(Port { impaired: true, ..Port::new(fd) });
    }
    let expectation = Expectation {
        run: None,
        strangers: true,
        echo: options.echo,
        clock_rates: options.rtpmap,
        ..session.expectation()
    };
    let mut terms = session.terms(expectation, None);
    terms.impair = options.impair;
    let finding = session.run(plans, &cores, &terms)?;
    let what = format!("streams that arrived at {}", options.listen);
    Ok(result::report(&session, &finding, what))
}
