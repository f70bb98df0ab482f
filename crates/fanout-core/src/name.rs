//! Validated names of topics, groups and members.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// Longest accepted name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

fn check(what: &str, name: &str) -> Result<(), Error> {
    let problem = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > MAX_NAME_BYTES {
        format!(
            "has {} bytes, at most {MAX_NAME_BYTES} are allowed",
            name.len()
        )
    } else if let Some(c) = name.chars().find(|c| c.is_control()) {
        format!("contains the control character {c:?}")
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("{what} name {problem} name=`{}`", name.escape_debug()),
    ))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 255 bytes of UTF-8 without control characters. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`] when the name is empty, longer than 255 bytes, or
            /// contains a control character.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                let name = name.as_ref();
                check($what, name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a topic.
    TopicName,
    "topic"
);
name_type!(
    /// The name of a consumer group.
    GroupName,
    "group"
);
name_type!(
    /// The name of a member: one running consumer process of a group.
    MemberName,
    "member"
);

impl GroupName {
    /// The group of a queue topic's built-in subscription.
    #[must_use]
    pub fn queue() -> Self {
        Self("queue".into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_bytes_not_characters() {
        assert!(TopicName::new("").is_err());
        assert!(TopicName::new("x".repeat(255)).is_ok());
        assert!(TopicName::new("x".repeat(256)).is_err());
        assert!(TopicName::new("é".repeat(128)).is_err());
        assert!(TopicName::new("orders.v1 / größe").is_ok());
    }

    #[test]
    fn control_characters_are_refused_and_shown_escaped() {
        let error = GroupName::new("a\nb").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.to_string().contains('\n'), "one line: {error}");
        assert!(GroupName::new("a\u{0}").is_err());
        assert!(GroupName::new("\u{85}").is_err());
    }

    #[test]
    fn deserialising_checks_too() {
        assert!(serde_json::from_str::<TopicName>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<TopicName>("\"\"").is_err());
    }

    proptest! {
        #[test]
        fn accepted_iff_the_rule_holds(name in any::<String>()) {
            let allowed = (1..=255).contains(&name.len())
                && !name.chars().any(|c| ('\u{0}'..='\u{1f}').contains(&c) || ('\u{7f}'..='\u{9f}').contains(&c));
            prop_assert_eq!(TopicName::new(&name).is_ok(), allowed);
        }
    }
}
