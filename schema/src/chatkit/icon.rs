//! Names of icons.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An icon: a built-in one, or one of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the icons'")]
pub enum IconName {
    Agent,
    Analytics,
    Atom,
    Batch,
    Bolt,
    BookOpen,
    BookClosed,
    BookClock,
    Bug,
    Calendar,
    Chart,
    Check,
    CheckCircle,
    CheckCircleFilled,
    ChevronLeft,
    ChevronRight,
    CircleQuestion,
    Clock,
    Compass,
    Confetti,
    Cube,
    Desktop,
    Document,
    Dot,
    DotsHorizontal,
    DotsVertical,
    EmptyCircle,
    ExternalLink,
    Globe,
    Keys,
    Lab,
    Images,
    Info,
    Lifesaver,
    Lightbulb,
    Mail,
    MapPin,
    Maps,
    Mobile,
    Name,
    Notebook,
    NotebookPencil,
    PageBlank,
    Phone,
    Play,
    Plus,
    Profile,
    ProfileCard,
    Reload,
    Star,
    StarFilled,
    Search,
    Sparkle,
    SparkleDouble,
    SquareCode,
    SquareImage,
    SquareText,
    Suitcase,
    SettingsSlider,
    User,
    Wreath,
    Write,
    WriteAlt,
    WriteAlt2,
    /// `lucide:NAME` or `vendor:NAME`.
    #[serde(untagged)]
    Library(LibraryIcon),
}

/// Name of an icon of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct LibraryIcon(#[schemars(regex(pattern = r"^(lucide|vendor):"))] String);

impl TryFrom<String> for LibraryIcon {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.starts_with("lucide:") || name.starts_with("vendor:") {
            Ok(Self(name))
        } else {
            Err("an icon is one of the built-in names, lucide:NAME or vendor:NAME")
        }
    }
}

impl From<LibraryIcon> for String {
    fn from(icon: LibraryIcon) -> Self {
        icon.0
    }
}
