//! The section `network`, completed by the certificates and proxies that other tools' variables name.

use super::certificates;
use super::environment::Environment;
use super::proxies;
use super::sections::Network;
use super::settings::Settings;
use crate::error::Result;
use crate::git::transport::Limits;

/// Reads the section; without `network.ca_file` the variables of other tools count.
pub(super) fn read(settings: &Settings, environment: &Environment) -> Result<Network> {
    let mut network = Network::from_settings(settings)?;
    // Instead of them, not in addition: this key is the whole answer to what is trusted besides the system's.
    if network.extra_cas.is_none() {
        network.extra_cas = certificates::conventional(environment)?;
    }
    network.proxies = proxies::read(environment)?;
    Ok(network)
}

impl Network {
    /// Returns what the transports need to know of the time limits.
    pub fn limits(&self) -> Limits {
        Limits {
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            extra_cas: self.extra_cas.clone(),
            proxies: self.proxies.clone(),
        }
    }
}
