//! Settings -> configuration of attachments. Reads the group Attachments.

use super::Settings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use threadline_core::config::{AttachmentsConfig, AttachmentsLocation};
use threadline_gateway::rules::{ATTACHMENT_CONTENT, ATTACHMENT_PREVIEW};

/// Name of the default directory.
const DEFAULT_DIRECTORY: &str = "threadline-attachments";

impl Settings {
    /// Returns the configuration of attachments. `rest` is the address of the REST listener, which the URLs begin with
    /// if PUBLIC_URL is not set.
    pub fn attachments(&self, rest: SocketAddr) -> AttachmentsConfig {
        let public_url = self.public_url.as_ref().map_or_else(|| self.url_of(rest), |url| url.as_str().to_owned());
        AttachmentsConfig {
            location: self.attachments_url.as_ref().map_or_else(|| self.default_directory(), |url| url.0.clone()),
            upload_url: format!("{public_url}{ATTACHMENT_CONTENT}"),
            preview_url: format!("{public_url}{ATTACHMENT_PREVIEW}"),
            max_bytes: self.max_attachment_bytes.get().into(),
            user_bytes: self.max_attachment_bytes_per_user.get().map(|bytes| bytes.get().into()),
            types: self.attachment_types.0.clone().into(),
        }
    }

    /// Returns the URL of an address. Replaces the unspecified address (0.0.0.0, [::]) by the loopback address.
    fn url_of(&self, rest: SocketAddr) -> String {
        let scheme = if self.tls_cert_file.is_some() { "https" } else { "http" };
        let host = if rest.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { rest.ip() };
        format!("{scheme}://{}", SocketAddr::new(host, rest.port()))
    }

    /// Returns the directory next to the SQLite file, or else in the working directory.
    fn default_directory(&self) -> AttachmentsLocation {
        let file = self.database_url.as_str().strip_prefix("sqlite://").map(Path::new);
        let parent = file.and_then(Path::parent).unwrap_or(Path::new(""));
        AttachmentsLocation::Directory(parent.join(DEFAULT_DIRECTORY))
    }
}
