//! Labels with few known values, and a handle for each of them.
use std::marker::PhantomData;

/// A label whose values are known when the program is built.
pub(crate) trait ClosedLabel: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// Every value as it is published, in the order of [`ClosedLabel::index`].
    const TEXTS: &'static [&'static str];

    /// Which of [`ClosedLabel::TEXTS`].
    fn index(self) -> usize;

    /// As it is published.
    fn text(self) -> &'static str {
        Self::TEXTS.get(self.index()).copied().unwrap_or_default()
    }
}

/// Defines an enum that is a [`ClosedLabel`].
macro_rules! closed_label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $name {
            $($(#[$value_doc])* $value,)+
        }

        impl $crate::metrics::label::ClosedLabel for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const TEXTS: &'static [&'static str] = &[$($text),+];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// How many values there are.
            #[allow(dead_code, reason = "not every label counts in place")]
            pub(super) const COUNT: usize = [$(Self::$value),+].len();

            /// As it is published and logged.
            #[allow(dead_code, reason = "not every label is needed as text")]
            pub(crate) fn as_str(self) -> &'static str {
                $crate::metrics::label::ClosedLabel::text(self)
            }
        }
    };
}
pub(crate) use closed_label;

/// One resolved handle for each value of a label.
pub(super) struct ByLabel<L, M> {
    handles: Box<[M]>,
    label: PhantomData<L>,
}

impl<L: ClosedLabel, M> ByLabel<L, M> {
    /// Resolves the handle of each value's text. All are published from the start, so that a rate over the first
    /// event is not lost.
    pub(super) fn new(resolve: impl FnMut(&'static str) -> M) -> Self {
        Self { handles: L::TEXTS.iter().copied().map(resolve).collect(), label: PhantomData }
    }

    /// The handle of a value; there is always one.
    pub(super) fn get(&self, label: L) -> Option<&M> {
        self.handles.get(label.index())
    }
}

impl<L: ClosedLabel> ByLabel<L, prometheus::IntCounter> {
    /// Adds one.
    pub(super) fn inc(&self, label: L) {
        if let Some(counter) = self.get(label) {
            counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    closed_label! {
        /// Sides.
        Side {
            /// Left.
            Left = "left",
            /// Right.
            Right = "right",
        }
    }

    #[test]
    fn each_value_has_the_handle_of_its_text() {
        let by_side = ByLabel::<Side, _>::new(|text| text);
        assert_eq!(by_side.get(Side::Left), Some(&Side::Left.text()));
        assert_eq!(by_side.get(Side::Right), Some(&"right"));
    }
}
