//! The macro that makes the sections, and the list of all keys, of one table.

/// Makes a documented struct of each section, and `KEYS`, the list of all keys.
///
/// A field reads `name: Type = how("key", parse);` where `how` is the method of `Settings` that reads it: `needed`,
/// `optional`, `list`, `mailboxes`, `map`, `rules`, `trusted`, or `or_default`, which takes the default's text as a third argument. `flag "--name"` may
/// follow. The comment above it is the key's description in the documentation. A field that is no key reads
/// `+ name: Type = "description";`, and begins with the type's default.
macro_rules! key_table {
    ($(
        $(#[$about:meta])*
        $section:ident: $Section:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty = $how:ident($name:literal, $parse:path $(, $default:literal)?) $(flag $flag:literal)?;
            )*
            $(+ $extra:ident: $extra_type:ty = $extra_doc:literal;)*
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone)]
            pub struct $Section {
                $(
                    $(#[doc = $doc])*
                    #[doc = concat!("\n\nThe key `", stringify!($section), ".", $name, "`.")]
                    pub $field: $type,
                )*
                $(
                    #[doc = $extra_doc]
                    pub $extra: $extra_type,
                )*
            }

            impl $Section {
                pub(super) fn from_settings(
                    settings: &super::settings::Settings,
                ) -> crate::error::Result<Self> {
                    Ok(Self {
                        $( $field: settings.$how(key(concat!(stringify!($section), ".", $name)), $parse)?, )*
                        $( $extra: <$extra_type>::default(), )*
                    })
                }
            }
        )*

        /// Every key, in the order of the table.
        pub(super) const KEYS: &[super::keys::Key] = &[$($(
            super::keys::Key {
                section: stringify!($section),
                name: $name,
                path: concat!(stringify!($section), ".", $name),
                shape: super::keys::Shape::read_by(stringify!($how)),
                default: super::key_table::first(&[$($default)?]),
                flag: super::key_table::first(&[$($flag)?]),
                about: concat!($($doc),*),
                // The values have different types; reading and dropping one is the same function type for all keys.
                check: |text| $parse(text).map(drop),
            },
        )*)*];
    };
}
pub(super) use key_table;

/// Returns the optional part of a key that the table gives, if it does.
pub(super) const fn first(given: &[&'static str]) -> Option<&'static str> {
    match given {
        [value, ..] => Some(value),
        [] => None,
    }
}
