//! Types of settings: attachments.

use super::Value;
use std::path::PathBuf;
use threadline_core::config::AttachmentsLocation;

/// A path, `file:///PATH` or `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentsUrl(pub AttachmentsLocation);

/// Media types in lower case. `*` at the end is a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaTypes(pub Vec<String>);

impl Value for AttachmentsUrl {
    const PLACEHOLDER: &'static str = "URL";

    fn parse(text: &str) -> Option<Self> {
        let directory = |path: &str| {
            let fits = !path.is_empty() && !path.contains('\0');
            fits.then(|| Self(AttachmentsLocation::Directory(PathBuf::from(path))))
        };
        match text.split_once("://") {
            None => directory(text),
            Some(("file", path)) => directory(path).filter(|_| path.starts_with('/')),
            Some(("s3", rest)) => {
                let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                let prefix = prefix.trim_matches('/').to_owned();
                let is_bucket = !name.is_empty() && name.bytes().all(fits) && !prefix.contains("//");
                is_bucket.then(|| Self(AttachmentsLocation::Bucket { name: name.to_owned(), prefix }))
            }
            Some(_) => None,
        }
    }

    fn expected() -> String {
        "a path, file:///PATH or s3://BUCKET/PREFIX".to_owned()
    }
}

impl Value for MediaTypes {
    const PLACEHOLDER: &'static str = "LIST";

    fn parse(text: &str) -> Option<Self> {
        let types = text.split(',').map(|one| one.trim().to_ascii_lowercase()).filter(|one| !one.is_empty());
        let is_type = |one: &String| {
            let bare = one.strip_suffix('*').unwrap_or(one);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&byte);
            one == "*" || (bare.bytes().all(fits) && bare.split('/').count() == 2)
        };
        let types: Vec<_> = types.collect();
        (!types.is_empty() && types.iter().all(is_type)).then_some(Self(types))
    }

    fn expected() -> String {
        "a list of media types such as image/png,text/*".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storage_is_a_directory_or_a_bucket() {
        let directory = |path: &str| Some(AttachmentsUrl(AttachmentsLocation::Directory(path.into())));
        assert_eq!(AttachmentsUrl::parse("/var/files"), directory("/var/files"));
        assert_eq!(AttachmentsUrl::parse("file:///var/files"), directory("/var/files"));
        assert_eq!(AttachmentsUrl::parse("files"), directory("files"));
        for (text, name, prefix) in [("s3://b", "b", ""), ("s3://b/", "b", ""), ("s3://b/c/d/", "b", "c/d")] {
            let bucket = AttachmentsLocation::Bucket { name: name.into(), prefix: prefix.into() };
            assert_eq!(AttachmentsUrl::parse(text), Some(AttachmentsUrl(bucket)), "{text}");
        }
        for text in ["s3://", "s3:///x", "s3://a b", "s3://a/b//c", "file://x", "http://x", "gs://x"] {
            assert_eq!(AttachmentsUrl::parse(text), None, "{text}");
        }
    }

    #[test]
    fn media_types_are_a_comma_list() {
        assert_eq!(
            MediaTypes::parse("Image/PNG, text/* ,"),
            Some(MediaTypes(vec!["image/png".into(), "text/*".into()]))
        );
        assert_eq!(MediaTypes::parse("*"), Some(MediaTypes(vec!["*".into()])));
        for text in [",", "png", "image/png;q=1", "image/*/x", "a b/c"] {
            assert_eq!(MediaTypes::parse(text), None, "{text}");
        }
    }
}
