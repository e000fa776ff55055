//! What the configuration means for the media core on this machine.

use raceway_api::RelayPorts;
use raceway_config::{Config, Notice};
use raceway_media::{Calls, Interface, Settings, SettingsError};

use crate::boot::addresses::MachineAddresses;

// What the configuration allows is what the core takes.
const _: () = {
    assert!(raceway_config::limits::MEDIA_NAME_MAX <= raceway_media::limits::INTERFACE_NAME_MAX);
    assert!(raceway_config::limits::MEDIA_INTERFACES_MAX <= raceway_media::limits::INTERFACES_MAX);
    // A name has an address of each family at most.
    assert!(2 * raceway_config::limits::MEDIA_INTERFACES_MAX <= raceway_media::limits::ADDRESSES_MAX);
};

/// Name of the interface that stands for the machine's addresses when none is configured.
const DEFAULT: &str = "default";

/// For the core; none if no ports are left for media.
///
/// # Errors
/// What the core does not take, so that nothing is begun with it.
pub fn settings(config: &Config, machine: &MachineAddresses) -> Result<Option<Settings>, SettingsError> {
    let Some(range) = config.media.port_range else { return Ok(None) };
    let ports = RelayPorts { first: range.first, last: range.last };
    let interfaces = match &config.media.interfaces {
        Some(named) => named
            .iter()
            .map(|named| Interface {
                name: named.name.clone(),
                address: named.address,
                advertised: named.advertised,
                ports,
            })
            .collect(),
        None => machines(config, machine, ports),
    };
    let media = &config.media;
    let ng = &config.ng;
    let settings = Settings {
        timeout: media.timeout,
        silent_timeout: media.silent_timeout,
        detect_dtmf: ng.dtmf_log_dest.is_some() || (ng.notify.is_some() && ng.notify_of.contains(&Notice::Dtmf)),
        ..Settings::new(interfaces)
    };
    // Its check is part of taking it.
    Calls::new(settings.clone(), Box::new(|octets| octets.fill(0)))?;
    Ok(Some(settings))
}

/// The first address of each family that TURN relays from.
fn machines(config: &Config, machine: &MachineAddresses, ports: RelayPorts) -> Vec<Interface> {
    let relayed = machine.relay_addresses(&config.turn);
    let of_family = |v4: bool| relayed.iter().find(|address| address.internal.is_ipv4() == v4);
    let first = [of_family(true), of_family(false)].into_iter().flatten();
    first
        .map(|address| Interface {
            name: DEFAULT.to_owned(),
            address: address.internal,
            advertised: address.external,
            ports,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(text: &str) -> Option<Vec<String>> {
        let config = raceway_config::parse("", text).unwrap_or_else(|problems| panic!("{problems}"));
        let ips = ["127.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1"].map(|ip| ip.parse().expect("an address"));
        let machine = MachineAddresses { all: ips.to_vec(), preferred: Vec::new() };
        let shown = |i: &Interface| format!("{} {} {} {}", i.name, i.address, i.advertised, i.ports.first);
        settings(&config, &machine).expect("valid").map(|settings| settings.interfaces.iter().map(shown).collect())
    }

    #[test]
    fn without_interfaces_media_leaves_from_where_turn_relays() {
        let text = "[turn.external_addresses]\n\"10.0.0.1\" = \"203.0.113.7\"\n";
        assert_eq!(
            interfaces(text).expect("ports"),
            ["default 10.0.0.1 203.0.113.7 30000", "default 2001:db8::1 2001:db8::1 30000"]
        );
        let text = "[media]\nport_range = \"20000-20099\"\ninterfaces = { b = \"10.0.0.2\", a = [\"10.0.0.1\", \"2001:db8::1\"] }\n";
        let named = ["b 10.0.0.2 10.0.0.2 20000", "a 10.0.0.1 10.0.0.1 20000", "a 2001:db8::1 2001:db8::1 20000"];
        assert_eq!(interfaces(text).expect("ports"), named);
        assert_eq!(interfaces("[turn]\nport_range = \"10000-65535\"\n"), None);
    }
}
