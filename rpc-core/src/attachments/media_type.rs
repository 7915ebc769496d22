//! Decides the media type of a file from what its client says, its name and its content.
//!
//! Browsers have no type for many files (`.md`, `.conf`, `.log`), and Windows reports those that its programs have
//! registered: a CSV file is Excel's, a TypeScript file is a video. A picture that is called `photo.jpg` is often a PNG
//! or WebP file. So the name helps, and the content decides.

use super::content_check;
use super::preview;
use super::storage::{Storage, StorageResult, StoredObject};
use crate::error::Error;
use crate::store::rows::AttachmentRow;
use crate::store::to_unsigned;

/// The type of a file whose type the client has not named. It is replaced when the content is known.
const UNKNOWN: &str = "application/octet-stream";
/// The type of a text whose type is not known better.
const PLAIN: &str = "text/plain";
/// Maximum length of a media type, in characters.
const MAX_CHARS: usize = 127;

/// Names of [`UNKNOWN`] that clients use.
const VAGUE: [&str; 6] =
    ["", UNKNOWN, "binary/octet-stream", "application/x-download", "application/force-download", "application/unknown"];
/// What Windows reports for files of a table once Excel is installed.
const EXCEL: [&str; 2] = ["application/vnd.ms-excel", "application/msexcel"];

/// The types that this server takes; `*` at the end stands for anything.
#[derive(Debug, Clone, Copy)]
pub(super) struct AllowedTypes<'a>(pub(super) &'a [String]);

impl AllowedTypes<'_> {
    fn allows(self, mime_type: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => mime_type.starts_with(prefix),
            None => registered(pattern) == mime_type,
        })
    }

    fn refuse(self, mime_type: &str) -> Error {
        let types = self.0.join(", ");
        Error::invalid(format!("This server takes no attachments of type {mime_type}; it takes {types}."))
    }

    /// Decides the type of a file before its content is known, without parameters and in lower case.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if it is not a media type, or not an accepted one.
    pub(super) fn announced(self, name: &str, mime_type: Option<&str>) -> Result<String, Error> {
        let declared = bare_type(mime_type.unwrap_or_default())?;
        let by_name = type_of_name(name);
        let by_name = || by_name.clone().filter(|by_name| self.allows(by_name));
        let is_table = EXCEL.contains(&declared.as_str()) && by_name().is_some_and(|name| name.starts_with("text/"));
        if self.allows(&declared) && !is_table {
            return Ok(declared);
        }
        if let Some(by_name) = by_name() {
            return Ok(by_name);
        }
        if !VAGUE.contains(&declared.as_str()) {
            return Err(self.refuse(&declared));
        }
        match type_of_name(name) {
            // The content of such a file cannot turn out to be one of the accepted text types.
            Some(media) if ["image/", "audio/", "video/", "font/"].iter().any(|kind| media.starts_with(kind)) => {
                Err(self.refuse(&media))
            }
            _ => Ok(UNKNOWN.to_owned()),
        }
    }

    /// Decides the type of a file by its content, if the client has not named it. The content of an image decides which
    /// image it is: programs save and rename them with the extension of another one.
    ///
    /// # Errors
    /// `INVALID_REQUEST` if the type is not accepted.
    pub(super) async fn uploaded(self, storage: &Storage, row: &AttachmentRow) -> StorageResult<Result<String, Error>> {
        let is_image = preview::image_format(&row.mime_type).is_some();
        if row.mime_type != UNKNOWN && !is_image {
            return Ok(Ok(row.mime_type.clone()));
        }
        let (head, _) = storage.read(row.id, StoredObject::Content, 0, content_check::HEAD_BYTES as u64).await?;
        let found = infer::get(&head);
        if is_image {
            let found = found.map(|kind| kind.mime_type());
            let found = found.filter(|found| preview::image_format(found).is_some() && self.allows(found));
            return Ok(Ok(found.unwrap_or(&row.mime_type).to_owned()));
        }
        if let Some(kind) = found {
            let detected = kind.mime_type();
            let is_too_large = preview::image_format(detected).is_some()
                && u64::try_from(row.size).is_ok_and(|size| size > super::create::MAX_IMAGE_BYTES);
            return Ok(match self.allows(detected) && !is_too_large {
                true => Ok(detected.to_owned()),
                false => Err(self.refuse(detected)),
            });
        }
        let size = to_unsigned(row.size);
        let is_text = content_check::find_mismatch(storage, row.id, PLAIN, size).await?.is_none();
        Ok(match is_text && self.allows(PLAIN) {
            true => Ok(PLAIN.to_owned()),
            false if self.allows(UNKNOWN) => Ok(UNKNOWN.to_owned()),
            false => Err(self.refuse(if is_text { PLAIN } else { UNKNOWN })),
        })
    }
}

/// Returns the type without parameters, in lower case; empty if there is none.
fn bare_type(mime_type: &str) -> Result<String, Error> {
    let bare = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(is_allowed)
    };
    let is_type = bare.split_once('/').is_some_and(|(kind, rest)| is_token(kind) && is_token(rest));
    if !bare.is_empty() && (!is_type || bare.len() > MAX_CHARS) {
        return Err(Error::invalid("`mime_type` is not a media type such as image/png."));
    }
    Ok(registered(&bare).to_owned())
}

/// Returns the registered name of a type that some programs call differently.
fn registered(mime_type: &str) -> &str {
    match mime_type {
        "image/jpg" | "image/pjpeg" => "image/jpeg",
        "image/x-png" => "image/png",
        other => other,
    }
}

/// Returns the type that the extension of a name stands for.
fn type_of_name(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    let mime_type = match extension.as_str() {
        // Where the list of registered types knows none, or one that has nothing to do with these files.
        "cfg" | "conf" | "env" | "ini" | "log" | "properties" | "text" => PLAIN,
        "cts" | "mts" | "ts" | "tsx" => "text/x-typescript",
        "yaml" | "yml" => "text/yaml",
        "jsonl" | "ndjson" => PLAIN,
        other => mime_guess::from_ext(other).first_raw()?,
    };
    Some(mime_type.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_helps_where_the_type_says_nothing_or_something_wrong() {
        let types = ["image/png", "text/*", "application/pdf", "application/json"].map(str::to_owned);
        let allowed = AllowedTypes(&types);
        for (name, declared, expected) in [
            ("notes.md", Some(""), "text/markdown"),
            ("NOTES.MD", None, "text/markdown"),
            ("nginx.conf", Some("application/octet-stream"), "text/plain"),
            ("app.log", Some(" "), "text/plain"),
            ("a.csv", Some("application/vnd.ms-excel"), "text/csv"),
            ("a.CSV", Some("application/vnd.ms-excel; charset=utf-8"), "text/csv"),
            ("a.json", Some("application/octet-stream"), "application/json"),
            ("a.ts", Some("video/mp2t"), "text/x-typescript"),
            ("a.pdf", Some("application/x-pdf"), "application/pdf"),
            ("a.png", Some("image/x-png"), "image/png"),
            ("a", Some("image/x-png"), "image/png"),
            ("a.txt", Some("Text/HTML;x=y"), "text/html"),
            ("Makefile", Some(""), UNKNOWN),
            ("a.unheard-of", None, UNKNOWN),
            ("setup.sh", Some("application/octet-stream"), UNKNOWN),
        ] {
            assert_eq!(allowed.announced(name, declared).unwrap(), expected, "{name} {declared:?}");
        }
        for (name, declared) in [
            ("a", Some("text")),
            ("a", Some("text/plain\r\nx: y")),
            ("a.exe", Some("application/x-msdownload")),
            ("a.xls", Some("application/vnd.ms-excel")),
            ("a.mp4", Some("")),
            ("a.svg", None),
        ] {
            assert!(allowed.announced(name, declared).is_err(), "{name} {declared:?}");
        }
        let images = ["image/jpg", "image/*"].map(|types| [types.to_owned()]);
        for types in &images {
            for declared in ["image/jpeg", "image/jpg", "IMAGE/PJPEG"] {
                let announced = AllowedTypes(types).announced("photo", Some(declared)).unwrap();
                assert_eq!(announced, "image/jpeg", "{types:?} {declared}");
            }
        }
        let with_excel = ["text/*", "application/vnd.ms-excel"].map(str::to_owned);
        let announced = |name| AllowedTypes(&with_excel).announced(name, Some(EXCEL[0])).unwrap();
        assert_eq!((announced("a.csv").as_str(), announced("a.xls").as_str()), ("text/csv", EXCEL[0]));
    }
}
