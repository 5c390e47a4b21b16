//! The two macros that declare messages, and the traits through which they are read and written without serde.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where a message's fields are read from: in the browser a parsed JavaScript object, in tests a JSON value.
pub trait Reader {
    /// The text under `key`; `None` when it is absent, null or no text.
    fn string(&self, key: &str) -> Option<String>;
    /// The number under `key`; `None` when it is absent, null or no number.
    fn number(&self, key: &str) -> Option<f64>;
    /// The truth value under `key`; `None` when it is absent, null or no truth value.
    fn boolean(&self, key: &str) -> Option<bool>;
}

/// Where a message's fields are written to.
pub trait Writer {
    /// Sets `key` to a text.
    fn string(&mut self, key: &'static str, value: &str);
    /// Sets `key` to a number.
    fn number(&mut self, key: &'static str, value: f64);
    /// Sets `key` to a truth value.
    fn boolean(&mut self, key: &'static str, value: bool);
}

/// A message that cannot be read, with the field that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The `type` is missing or names no message of this version. A newer peer may send such: ignore, do not fail.
    UnknownType,
    /// A field is missing, of another type, or out of its range.
    Field(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType => f.write_str("no message of this version has that type"),
            Self::Field(name) => write!(f, "the field `{name}` is missing or malformed"),
        }
    }
}

impl core::error::Error for ReadError {}

/// A type that may stand in a message's field.
pub trait Field: Sized {
    /// The type in TypeScript.
    const TYPESCRIPT: &'static str;
    /// Whether the field may be left out.
    const OPTIONAL: bool = false;
    /// Reads the field, or says that it cannot be read.
    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError>;
    /// Writes the field; an absent option writes nothing.
    fn write(&self, writer: &mut impl Writer, key: &'static str);
    /// Whether JSON leaves the field out.
    fn is_absent(&self) -> bool {
        false
    }
}

impl Field for String {
    const TYPESCRIPT: &'static str = "string";

    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError> {
        reader.string(key).ok_or(ReadError::Field(key))
    }

    fn write(&self, writer: &mut impl Writer, key: &'static str) {
        writer.string(key, self);
    }
}

impl Field for bool {
    const TYPESCRIPT: &'static str = "boolean";

    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError> {
        reader.boolean(key).ok_or(ReadError::Field(key))
    }

    fn write(&self, writer: &mut impl Writer, key: &'static str) {
        writer.boolean(key, *self);
    }
}

impl Field for u32 {
    const TYPESCRIPT: &'static str = "number";

    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError> {
        let number = reader.number(key).ok_or(ReadError::Field(key))?;
        let whole = number as u32;
        if f64::from(whole) == number { Ok(whole) } else { Err(ReadError::Field(key)) }
    }

    fn write(&self, writer: &mut impl Writer, key: &'static str) {
        writer.number(key, f64::from(*self));
    }
}

impl Field for i32 {
    const TYPESCRIPT: &'static str = "number";

    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError> {
        let number = reader.number(key).ok_or(ReadError::Field(key))?;
        let whole = number as i32;
        if f64::from(whole) == number { Ok(whole) } else { Err(ReadError::Field(key)) }
    }

    fn write(&self, writer: &mut impl Writer, key: &'static str) {
        writer.number(key, f64::from(*self));
    }
}

impl<T: Field> Field for Option<T> {
    const TYPESCRIPT: &'static str = T::TYPESCRIPT;
    const OPTIONAL: bool = true;

    fn read(reader: &impl Reader, key: &'static str) -> Result<Self, ReadError> {
        // An optional field that is malformed counts as absent: a newer peer may have widened it.
        Ok(T::read(reader, key).ok())
    }

    fn write(&self, writer: &mut impl Writer, key: &'static str) {
        if let Some(value) = self {
            value.write(writer, key);
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// A message kind, for the printers of `ringlet.d.ts` and of the documentation.
#[derive(Debug)]
pub struct VariantShape {
    /// The value of `type`.
    pub tag: &'static str,
    /// The doc comment.
    pub doc: &'static [&'static str],
    /// The fields, in order.
    pub fields: &'static [FieldShape],
}

/// A field of a message kind.
#[derive(Debug)]
pub struct FieldShape {
    /// The key in JSON.
    pub name: &'static str,
    /// The type in TypeScript.
    pub typescript: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
    /// The doc comment.
    pub doc: &'static [&'static str],
}

/// Declares an enum of texts: in JSON each is a string.
macro_rules! words {
    ($(#[doc = $doc:literal])* pub enum $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name {
            $($(#[doc = $vdoc])* #[cfg_attr(feature = "serde", serde(rename = $word))] $variant,)*
        }

        // utoipa's derive does not see a `rename` whose text came through a macro.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|it| it.word())))
                    .description(Some(concat!($($doc),*).trim_start()))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl $name {
            /// All of them, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text that stands for it in JSON, in the store and in metrics.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The one that `word` stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::Field for $name {
            const TYPESCRIPT: &'static str = stringify!($name);

            fn read(reader: &impl $crate::Reader, key: &'static str) -> Result<Self, $crate::ReadError> {
                reader.string(key).and_then(|word| Self::from_word(&word)).ok_or($crate::ReadError::Field(key))
            }

            fn write(&self, writer: &mut impl $crate::Writer, key: &'static str) {
                writer.string(key, self.word());
            }
        }
    };
}

/// Declares an enum of messages: in JSON an object whose `type` names the message. What stands under a `cfg` of the servers' feature
/// is between them and the panel: the phone passes it on unread.
macro_rules! messages {
    ($(#[doc = $doc:literal])* pub enum $name:ident {
        $($(#[doc = $vdoc:literal])* $(#[cfg($servers:meta)])? $variant:ident = $tag:literal {
            $($(#[doc = $fdoc:literal])* $field:ident: $ty:ty,)*
        },)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(tag = "type"))]
        pub enum $name {
            $($(#[doc = $vdoc])* $(#[cfg($servers)])? #[cfg_attr(feature = "serde", serde(rename = $tag))] $variant {
                $($(#[doc = $fdoc])*
                #[cfg_attr(feature = "serde", serde(skip_serializing_if = "crate::Field::is_absent"))]
                $field: $ty,)*
            },)*
        }

        impl $name {
            /// What the printers of documentation and of `ringlet.d.ts` go by.
            pub const SHAPE: &'static [$crate::VariantShape] = &[$($(#[cfg($servers)])? $crate::VariantShape {
                tag: $tag,
                doc: &[$($vdoc,)*],
                fields: &[$($crate::FieldShape {
                    name: stringify!($field),
                    typescript: <$ty as $crate::Field>::TYPESCRIPT,
                    optional: <$ty as $crate::Field>::OPTIONAL,
                    doc: &[$($fdoc,)*],
                },)*],
            },)*];

            /// Reads a message without serde.
            ///
            /// # Errors
            /// [`ReadError::UnknownType`](crate::ReadError) when the `type` is none of this version's, and
            /// [`ReadError::Field`](crate::ReadError) with the field that is missing or malformed.
            pub fn read(reader: &impl $crate::Reader) -> Result<Self, $crate::ReadError> {
                match reader.string("type").as_deref() {
                    $($(#[cfg($servers)])? Some($tag) => Ok(Self::$variant {
                        $($field: <$ty as $crate::Field>::read(reader, stringify!($field))?,)*
                    }),)*
                    _ => Err($crate::ReadError::UnknownType),
                }
            }

            /// Writes a message without serde.
            pub fn write(&self, writer: &mut impl $crate::Writer) {
                match self {
                    $($(#[cfg($servers)])? Self::$variant { $($field,)* } => {
                        writer.string("type", $tag);
                        $($crate::Field::write($field, writer, stringify!($field));)*
                    })*
                }
            }
        }
    };
}

/// Prints the TypeScript declaration of one message enum.
pub fn typescript(name: &str, shape: &[VariantShape]) -> String {
    let mut out = String::new();
    for variant in shape {
        push_doc(&mut out, "", variant.doc);
        out.push_str(&format!("export interface {} {{\n  type: \"{}\";\n", interface(name, variant.tag), variant.tag));
        for field in variant.fields {
            push_doc(&mut out, "  ", field.doc);
            let mark = if field.optional { "?" } else { "" };
            out.push_str(&format!("  {}{mark}: {};\n", field.name, field.typescript));
        }
        out.push_str("}\n\n");
    }
    let union: Vec<String> = shape.iter().map(|variant| interface(name, variant.tag)).collect();
    out.push_str(&format!("export type {name} =\n  | {};\n", union.join("\n  | ")));
    out
}

fn interface(name: &str, tag: &str) -> String {
    let mut out = name.to_owned();
    for part in tag.split('_') {
        let mut letters = part.chars();
        if let Some(first) = letters.next() {
            out.extend(first.to_uppercase());
            out.push_str(letters.as_str());
        }
    }
    out
}

fn push_doc(out: &mut String, indent: &str, doc: &[&str]) {
    for line in doc {
        // Rustdoc's links mean nothing to TypeScript.
        let line = line.replace("[`", "`").replace("`]", "`");
        out.push_str(&format!("{indent}/**{line} */\n"));
    }
}
