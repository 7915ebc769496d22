//! Who is a gateway: it makes the calls of many users over one socket, and names the address of each.

use http::HeaderMap;
use http::header::HeaderName;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use threadline_schema::head::GATEWAY_HEADER;

/// Headers in which proxies name their client.
const FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("via"),
];

/// How a gateway shows that it is one.
#[derive(Debug, Clone)]
pub enum GatewayTrust {
    /// By the secret in `GATEWAY_SECRET`.
    Secret(SecretString),
    /// By saying so: for a core whose port only gateways reach.
    Claimed,
    /// There are no gateways.
    NoGateways,
}

/// What a gateway may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GatewayRights {
    pub(super) is_gateway: bool,
    /// Whether it may name the addresses of its clients.
    pub(super) names_addresses: bool,
}

impl GatewayTrust {
    /// Decides about the peer that has opened a WebSocket with this head.
    pub(super) fn rights_of(&self, peer: IpAddr, headers: &HeaderMap, trusted_proxies: &Arc<[IpNet]>) -> GatewayRights {
        let Some(claim) = headers.get(GATEWAY_HEADER) else { return GatewayRights::default() };
        match self {
            Self::NoGateways => GatewayRights::default(),
            Self::Secret(secret) => {
                let is_gateway = digest(claim.as_bytes()) == digest(secret.expose_secret().as_bytes());
                GatewayRights { is_gateway, names_addresses: is_gateway }
            }
            Self::Claimed => {
                // A proxy passes on whatever its client sends.
                let is_proxy = FORWARDED.iter().any(|name| headers.contains_key(name));
                let is_trusted = trusted_proxies.iter().any(|net| net.contains(&peer.to_canonical()));
                GatewayRights { is_gateway: !is_proxy, names_addresses: !is_proxy && is_trusted }
            }
        }
    }
}

/// The time that the comparison of two digests takes says nothing about the texts.
fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(trust: &GatewayTrust, peer: &str, headers: &[(&'static str, &'static str)]) -> (bool, bool) {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let trusted: Arc<[IpNet]> = ["10.0.0.0/8".parse().unwrap()].into();
        let rights = trust.rights_of(peer.parse().unwrap(), &headers.collect(), &trusted);
        (rights.is_gateway, rights.names_addresses)
    }

    #[test]
    fn a_gateway_shows_the_secret_or_says_that_it_is_one() {
        let secret = GatewayTrust::Secret("s3cret".into());
        let (right, wrong) = (("x-threadline-gateway", "s3cret"), ("x-threadline-gateway", "s3cre"));
        assert_eq!(rights(&secret, "192.0.2.1", &[right]), (true, true));
        assert_eq!(rights(&secret, "10.0.0.1", &[wrong]), (false, false));
        assert_eq!(rights(&secret, "10.0.0.1", &[]), (false, false));
        assert_eq!(rights(&GatewayTrust::NoGateways, "10.0.0.1", &[right]), (false, false));
        assert_eq!(rights(&GatewayTrust::Claimed, "192.0.2.1", &[wrong]), (true, false));
        assert_eq!(rights(&GatewayTrust::Claimed, "10.0.0.1", &[wrong]), (true, true));
        for by_proxy in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
            assert_eq!(rights(&GatewayTrust::Claimed, "10.0.0.1", &[wrong, (by_proxy, "x")]), (false, false));
        }
    }
}
