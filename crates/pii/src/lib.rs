//! `Pii<T>`: a value about a person (an address, a name, an identity) that no log, panic message or
//! serialiser can print by accident. It is a leaf that every crate may use.

/// Holds a value that says something about a person.
///
/// There is no `Display`, no `Serialize` and no way to reach the value by deref; `Debug` prints a fixed
/// mark, so that types containing it can derive `Debug` without leaking. Whoever needs the value says so
/// with [`Pii::expose`], which is easy to find in a review.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the purpose it was collected for; never for logging.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, by move.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Pii<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> core::fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[pii]")
    }
}

#[cfg(test)]
mod tests {
    use super::Pii;

    #[test]
    fn debug_never_shows_the_value() {
        #[derive(Debug)]
        #[allow(dead_code)] // only its Debug output is looked at
        struct Visitor {
            address: Pii<&'static str>,
        }
        let visitor = Visitor { address: Pii::new("198.51.100.7") };
        assert_eq!(format!("{visitor:?}"), "Visitor { address: [pii] }");
        assert_eq!(*visitor.address.expose(), "198.51.100.7");
    }
}
