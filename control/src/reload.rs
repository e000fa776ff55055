//! A changed configuration file, taken while everything runs.

use std::io;

use raceway_config::{Change, Config, Problems};

use crate::admin::server::App;
use crate::boot::addresses::MachineAddresses;
use crate::boot::credentials::Credentials;
use crate::boot::file::{ConfigFile, FileError};
use crate::boot::machine::{Held, check_machine};
use crate::link::{Command, Gone};
use crate::ng::Certificate;
use crate::plan::{Plan, PlanError, after_reload, plan};

/// What runs, and where it comes from.
#[derive(Debug)]
pub struct Running {
    /// The configuration that is in force.
    pub config: Config,
    /// Addresses of the machine when it was taken.
    pub machine: MachineAddresses,
    /// What it means.
    pub plan: Plan,
    /// Where it was read.
    pub file: ConfigFile,
    /// Made on first start.
    pub credentials: Credentials,
}

/// Why the new configuration was not taken; then nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Not readable or wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not for this machine.
    #[error(transparent)]
    Machine(#[from] Problems),
    /// A name or password that no client could send, and the like.
    #[error("{file}: {error}")]
    Plan {
        /// As named.
        file: String,
        /// By server or calls.
        error: PlanError,
    },
    /// The kernel does not tell its addresses.
    #[error("addresses of this machine: {0}")]
    Addresses(io::Error),
    /// The program ends.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force now.
    pub applied: Vec<Change>,
    /// In force after a restart.
    pub restart: Vec<Change>,
    /// Listening addresses that came and went with the machine's own.
    pub addresses: Vec<String>,
}

impl Running {
    /// Reads the file again, checks it whole, and only then applies what can change.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then.
    pub async fn reload(&mut self, app: &App) -> Result<Reloaded, ReloadError> {
        let new = self.file.read()?;
        let machine = MachineAddresses::read().map_err(ReloadError::Addresses)?;
        let config = after_reload(&self.config, &new);
        let held = Held { listeners: Some(&self.plan.assignment.listeners), control: true, relay_has_rights: true };
        check_machine(&new, &machine, held)?;
        let certificate = Certificate::load(&config).map_err(|problem| Problems(vec![problem]))?;
        let plan_error = |error| ReloadError::Plan {
            file: self.file.path().map_or_else(|| "default".to_owned(), |path| path.display().to_string()),
            error,
        };
        let plan = plan(&config, &machine, &self.credentials).map_err(plan_error)?;
        let sent = Box::new(plan.clone());
        app.link.ask(|reply| Command::Apply { plan: sent, reply }).await?.map_err(plan_error)?;
        app.ng.set_allow(config.ng.allow.clone());
        app.teller.configure(&config.ng);
        if let (Some(shown), Some(new)) = (&app.certificate, certificate) {
            shown.replace(new);
        }
        if config.cdr != self.config.cdr {
            app.book.configure(config.cdr.clone());
        }
        if config.log.level != self.config.log.level {
            app.level.set(config.log.level);
            app.link.tell(Command::LogLevel(config.log.level))?;
        }
        raceway_config::warnings(&config).iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
        let addresses = moved_listeners(&self.plan, &plan);
        let (applied, restart) = raceway_config::diff(&self.config, &new).into_iter().partition(|c| c.effect.is_live());
        (self.config, self.machine, self.plan) = (config, machine, plan);
        Ok(Reloaded { applied, restart, addresses })
    }
}

fn moved_listeners(old: &Plan, new: &Plan) -> Vec<String> {
    let (old, new) = (&old.assignment.listeners, &new.assignment.listeners);
    let came = new.iter().filter(|l| !old.contains(l)).map(|l| format!("now listening on {l}"));
    let went = old.iter().filter(|l| !new.contains(l)).map(|l| format!("no longer listening on {l}"));
    came.chain(went).collect()
}
