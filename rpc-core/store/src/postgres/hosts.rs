//! The hosts of a URL, which are tried one after the other until one accepts the session.
//!
//! tokio-postgres does the same, but its time limit ends when TCP is connected: a host that accepts the connection and
//! stays silent would block all others.

use super::open_error::OpenError;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection that its user must drive.
pub(super) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The hosts of a URL, and how to connect to each of them.
#[derive(Clone)]
pub(super) struct Hosts {
    /// Names no host.
    config: Config,
    hosts: Vec<HostPort>,
    /// Time limit of a host while there is another one to try.
    limit: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostPort {
    name: Option<Host>,
    /// The address, if the URL has it.
    address: Option<IpAddr>,
    port: u16,
}

impl Hosts {
    /// Takes the hosts out of a configuration.
    pub(super) fn of(config: &Config, limit: Duration) -> Self {
        let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let hosts = (0..names.len().max(addresses.len())).map(|number| HostPort {
            name: names.get(number).cloned(),
            address: addresses.get(number).copied(),
            port: ports.get(number).or(ports.first()).copied().unwrap_or(5432),
        });
        Self { hosts: hosts.collect(), config: without_hosts(config), limit }
    }

    /// Connects to the first host that accepts the session, in the order of the URL, or in random order if the URL says
    /// so (`load_balance_hosts=random`). Each address of a host has the time limit, except the last of all: the caller
    /// limits the time for that one.
    ///
    /// # Errors
    /// The error of the last host. [`OpenError::Full`] is kept: it says more than that of a host that is away.
    pub(super) async fn connect(&self, tls: &MakeRustlsConnect) -> Result<(Client, Wire), OpenError> {
        let mut failure = None;
        let mut note = |error| {
            if !matches!(failure, Some(OpenError::Full(_))) {
                failure = Some(error);
            }
        };
        let hosts = self.in_order(self.hosts.clone());
        for (number, host) in hosts.iter().enumerate() {
            let is_last_host = number + 1 == hosts.len();
            let addresses = match self.within_limit(is_last_host, host.addresses()).await {
                Ok(addresses) => self.in_order(addresses),
                Err(error) => {
                    note(error);
                    continue;
                }
            };
            for (number, address) in addresses.iter().enumerate() {
                let is_last = is_last_host && number + 1 == addresses.len();
                let config = self.config_for(host, *address);
                let connecting = async { config.connect(tls.clone()).await.map_err(|error| OpenError::of(&error)) };
                match self.within_limit(is_last, connecting).await {
                    Ok(connected) => return Ok(connected),
                    Err(error) => note(error),
                }
            }
        }
        Err(failure.unwrap_or_else(|| OpenError::Failed("the name of the host has no address".to_owned())))
    }

    async fn within_limit<T>(
        &self,
        is_last: bool,
        attempt: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        if is_last {
            return attempt.await;
        }
        let no_answer = |_| Err(OpenError::Failed(format!("no answer within {:?}", self.limit)));
        timeout(self.limit, attempt).await.unwrap_or_else(no_answer)
    }

    fn in_order<T>(&self, mut places: Vec<T>) -> Vec<T> {
        if self.config.get_load_balance_hosts() == LoadBalanceHosts::Random {
            places.sort_by_cached_key(|_| uuid::Uuid::new_v4());
        }
        places
    }

    fn config_for(&self, host: &HostPort, address: Option<IpAddr>) -> Config {
        let mut config = self.config.clone();
        match &host.name {
            // Its certificate is for the name.
            Some(Host::Tcp(name)) => drop(config.host(name)),
            #[cfg(unix)]
            Some(Host::Unix(path)) => drop(config.host_path(path)),
            None => {}
        }
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config.port(host.port);
        config
    }
}

impl HostPort {
    /// Returns the addresses; `None` is that of a Unix socket. A name is resolved each time, because a failover may
    /// change its address.
    async fn addresses(&self) -> Result<Vec<Option<IpAddr>>, OpenError> {
        match (&self.name, self.address) {
            (_, Some(address)) => Ok(vec![Some(address)]),
            (Some(Host::Tcp(name)), None) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                let found = found.map_err(|error| OpenError::Failed(format!("the name of the host: {error}")))?;
                Ok(found.map(|address| Some(address.ip())).collect())
            }
            _ => Ok(vec![None]),
        }
    }
}

/// Returns a copy without hosts, addresses and ports.
fn without_hosts(config: &Config) -> Config {
    let mut copy = Config::new();
    if let Some(user) = config.get_user() {
        copy.user(user);
    }
    if let Some(password) = config.get_password() {
        copy.password(password);
    }
    if let Some(name) = config.get_dbname() {
        copy.dbname(name);
    }
    if let Some(options) = config.get_options() {
        copy.options(options);
    }
    if let Some(name) = config.get_application_name() {
        copy.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        copy.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        copy.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        copy.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        copy.keepalives_retries(retries);
    }
    copy.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    copy
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_for_one_host_has_all_parameters_of_the_url() {
        let parameters = "options=-c%20geqo%3Doff&application_name=a&sslmode=require&sslnegotiation=direct&\
                          connect_timeout=3&tcp_user_timeout=4&keepalives=0&keepalives_idle=5&keepalives_interval=6&\
                          keepalives_retries=7&target_session_attrs=read-write&channel_binding=require&\
                          load_balance_hosts=random";
        let one: Config = format!("postgres://user:word@b:2/name?hostaddr=192.0.2.1&{parameters}").parse().unwrap();
        let url = format!("postgres://user:word@a:1,b:2/name?hostaddr=192.0.2.2,192.0.2.1&{parameters}");
        let hosts = Hosts::of(&url.parse().unwrap(), Duration::ZERO);
        let second = hosts.hosts.last().unwrap();
        assert_eq!(hosts.config_for(second, second.address), one);
    }
}
