//! Settings -> what attachments are configured with. Reads the group Attachments.

use super::Settings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use threadline_core::config::{AttachmentsConfig, AttachmentsLocation};
use threadline_gateway::rules::{ATTACHMENT_CONTENT, ATTACHMENT_PREVIEW};

/// Name of the directory where nobody has named one.
const DIRECTORY: &str = "threadline-attachments";

impl Settings {
    /// Attachments. `rest` is where the REST API listens, for the URLs where PUBLIC_URL does not say how to reach it.
    pub fn attachments(&self, rest: SocketAddr) -> AttachmentsConfig {
        let public_url = self.public_url.as_ref().map_or_else(|| self.url_of(rest), |url| url.as_str().to_owned());
        AttachmentsConfig {
            location: self.attachments_url.as_ref().map_or_else(|| self.beside_the_database(), |url| url.0.clone()),
            upload_url: format!("{public_url}{ATTACHMENT_CONTENT}"),
            preview_url: format!("{public_url}{ATTACHMENT_PREVIEW}"),
            max_bytes: self.max_attachment_bytes.get().into(),
            user_bytes: self.max_attachment_bytes_per_user.get().map(|bytes| bytes.get().into()),
            types: self.attachment_types.0.clone().into(),
        }
    }

    /// The URL of an address. One that stands for every address of the machine is reached as this machine.
    fn url_of(&self, rest: SocketAddr) -> String {
        let scheme = if self.tls_cert_file.is_some() { "https" } else { "http" };
        let host = if rest.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { rest.ip() };
        format!("{scheme}://{}", SocketAddr::new(host, rest.port()))
    }

    fn beside_the_database(&self) -> AttachmentsLocation {
        let file = self.database_url.as_str().strip_prefix("sqlite://").map(Path::new);
        let parent = file.and_then(Path::parent).unwrap_or(Path::new(""));
        AttachmentsLocation::Directory(parent.join(DIRECTORY))
    }
}
