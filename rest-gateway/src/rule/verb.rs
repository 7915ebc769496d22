//! The HTTP methods of the API. They are called verbs here, because a method is an RPC method.

use http::Method;

/// An HTTP method in a row. HEAD is served by the row of GET, and OPTIONS by the gateway, so no row has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reads.
    Get,
    /// Creates or starts.
    Post,
    /// Replaces.
    Put,
    /// Updates in part.
    Patch,
    /// Deletes.
    Delete,
}

impl Verb {
    /// Returns the verb as HTTP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Returns the verb whose row serves requests with this HTTP method.
    pub fn serving(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// Returns whether requests with this verb have a body. In RFC 9110 a body of GET and DELETE has no meaning.
    pub const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}
