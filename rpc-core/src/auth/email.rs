//! Email addresses: their shape, and the one form in which they are stored and compared.

use crate::error::Error;
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use unicode_normalization::UnicodeNormalization;

/// Characters of an email address, at most (RFC 5321).
const EMAIL_CHARS: usize = 254;

/// Checks the shape of an address, and returns it normalised: without white space around it, in Unicode's normalisation
/// form KC, in lower case. Two addresses are the same account if their normalised forms are the same. Dots and `+tag`
/// in the name count, because their meaning is the mail server's.
///
/// Only the shape is checked. Whether mail arrives is not known.
///
/// # Errors
/// `INVALID_REQUEST`.
pub(crate) fn normalize(text: &str) -> Result<String, Error> {
    let email = fold(text);
    let well_formed = email.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty()
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(|label| !label.is_empty())
    });
    let is_clean = !email.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c));
    if well_formed && is_clean && email.chars().count() <= EMAIL_CHARS {
        Ok(email)
    } else {
        Err(Error::invalid("`email` must be an email address, such as ada@example.com."))
    }
}

/// Returns the normalised form of an address, or of the beginning of one, without a check of its shape.
pub(crate) fn fold(text: &str) -> String {
    // Lower case can leave the normal form (the Turkish capital I with a dot does), so it is normalised once more.
    text.trim().nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Returns the form in which releases before the normalisation stored this address.
pub(crate) fn legacy(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Returns whether a character is invisible: with it, two different addresses would look the same. Those are the
/// characters that Unicode lets a program leave out, those that set the direction of text or embrace an annotation, and
/// the empty pattern of Braille, which is no white space to Unicode.
fn is_invisible(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2800}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        let cases = [
            ("ada@example.com", "ada@example.com"),
            (" Ada@Example.COM ", "ada@example.com"),
            ("ä+1@ö.de", "ä+1@ö.de"),
            ("a\u{308}+1@o\u{308}.de", "ä+1@ö.de"),
            ("ＡＤＡ＠example．com", "ada@example.com"),
            ("\u{212a}ate@example.com", "kate@example.com"),
            ("a.d.a@example.com", "a.d.a@example.com"),
        ];
        for (written, kept) in cases {
            assert_eq!(normalize(written).unwrap(), kept, "{written}");
            assert_eq!(normalize(kept).unwrap(), kept, "{kept} is not stable");
        }
    }

    #[test]
    fn an_invisible_character_is_refused_wherever_it_is() {
        let invisible = "\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}\u{180e}\u{200b}\u{200d}\
                         \u{202e}\u{2060}\u{2065}\u{2800}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\
                         \u{1bca0}\u{1d173}\u{e0001}\u{e0041}\u{e01ef}";
        for c in invisible.chars() {
            for address in [format!("a{c}da@example.com"), format!("ada@exam{c}ple.com"), format!("{c}@example.com")] {
                assert!(normalize(&address).is_err(), "U+{:04X}", u32::from(c));
            }
        }
        for visible in ["é@example.com", "한@example.com", "⠁@example.com", "\u{1f600}@example.com"] {
            assert!(normalize(visible).is_ok(), "{visible}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "ada@.com",
            "a@b@c.de",
            "a b@c.de",
            "a@c.de\0",
            "a\u{200b}da@example.com",
            "ada@exam\u{ad}ple.com",
            &long,
        ] {
            assert!(normalize(bad).is_err(), "{bad}");
        }
    }
}
