//! Temporal layers of video: frames that a forwarder may drop without harm to the others.
//!
//! Frames follow a pattern that begins with each key frame, as the scalability modes L1T1, L1T2 and L1T3 have it (RTP
//! Payload Format For AV1, appendix A.10; encoders of browsers use it for VP8 and H.264 too).

/// Most layers.
pub(crate) const LAYERS_MAX: u32 = 3;

/// How many layers there are: 1 to [`LAYERS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers(u8);

/// A frame's place in the pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Its layer (`TID`).
    pub(super) layer: u8,
    /// It needs frames of layer 0 alone, and is not of that layer.
    pub(super) sync: bool,
    /// No frame needs it.
    pub(super) discardable: bool,
    /// Its template in the structure of the dependency descriptor, where it is no key frame.
    pub(super) template: u8,
}

/// A template of the dependency descriptor's structure.
pub(super) struct Template {
    pub(super) layer: u8,
    /// For each decode target, the lowest first: `-` not there, `D` discardable, `S` switch.
    pub(super) indications: &'static str,
    /// How many frames back the one is that it needs.
    pub(super) needs: Option<u8>,
    /// How many frames back the last one of layer 0 is.
    pub(super) chain: u8,
}

const fn place(layer: u8, template: u8, sync: bool, discardable: bool) -> Place {
    Place { layer, sync, discardable, template }
}

const fn template(layer: u8, indications: &'static str, needs: Option<u8>, chain: u8) -> Template {
    Template { layer, indications, needs, chain }
}

const PLACES: [&[Place]; LAYERS_MAX as usize] = [
    &[place(0, 1, false, false)],
    &[place(0, 1, false, false), place(1, 2, true, true)],
    &[place(0, 1, false, false), place(2, 3, true, true), place(1, 2, true, false), place(2, 4, false, true)],
];

/// What share of a frame's mean size frames of each layer have: encoders give 60 and 40, or 40, 20 and 40 % of the bit rate
/// to the layers.
const SIZES: [&[f64]; LAYERS_MAX as usize] = [&[1.0], &[1.2, 0.8], &[1.6, 0.8, 0.8]];

const TEMPLATES: [&[Template]; LAYERS_MAX as usize] = [
    &[template(0, "S", None, 0), template(0, "S", Some(1), 1)],
    &[template(0, "SS", None, 0), template(0, "SS", Some(2), 2), template(1, "-D", Some(1), 1)],
    &[
        template(0, "SSS", None, 0),
        template(0, "SSS", Some(4), 4),
        template(1, "-DS", Some(2), 2),
        template(2, "--D", Some(1), 1),
        template(2, "--D", Some(1), 3),
    ],
];

impl Layers {
    /// So many.
    ///
    /// # Panics
    /// If that is not 1 to [`LAYERS_MAX`].
    pub(crate) const fn new(layers: u32) -> Self {
        assert!(layers >= 1 && layers <= LAYERS_MAX);
        Self(layers as u8)
    }

    /// How many.
    pub(crate) const fn count(self) -> u8 {
        self.0
    }

    /// Place of the frame that comes so many frames after a key frame.
    pub(super) const fn place(self, since_key: u32) -> Place {
        let places = PLACES[self.0 as usize - 1];
        places[since_key as usize % places.len()]
    }

    /// Size of a frame at a place, over the mean.
    pub(super) const fn size(self, place: Place) -> f64 {
        SIZES[self.0 as usize - 1][place.layer as usize]
    }

    /// Sizes of the frames of a pattern, over the mean.
    pub(super) fn sizes(self) -> impl ExactSizeIterator<Item = f64> {
        PLACES[usize::from(self.0) - 1].iter().map(move |place| self.size(*place))
    }

    /// Templates of the dependency descriptor: that of a key frame, then those that [`Place::template`] names.
    pub(super) const fn templates(self) -> &'static [Template] {
        TEMPLATES[self.0 as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_do_not_change_the_bit_rate() {
        for layers in (1..=LAYERS_MAX).map(Layers::new) {
            let sizes = layers.sizes();
            let frames = sizes.len() as f64;
            assert!((sizes.sum::<f64>() - frames).abs() < 1e-9, "{layers:?}");
        }
    }

    /// By following templates back from each frame: what a receiver of a layer lacks if higher ones are dropped.
    #[test]
    fn no_frame_needs_one_of_a_higher_layer() {
        for layers in (1..=LAYERS_MAX).map(Layers::new) {
            for number in 1..32_u32 {
                let place = layers.place(number);
                let template = &layers.templates()[usize::from(place.template)];
                assert_eq!(template.layer, place.layer);
                let needed = number - u32::from(template.needs.unwrap());
                let below = layers.place(needed);
                assert!(below.layer < place.layer || (below.layer, place.layer) == (0, 0), "{layers:?} {number}");
                assert_eq!(place.sync, place.layer > 0 && below.layer == 0);
                assert!(!below.discardable);
                let chain = number - u32::from(template.chain);
                assert!(
                    layers.place(chain).layer == 0 && (chain + 1..number).all(|frame| layers.place(frame).layer > 0)
                );
            }
        }
    }
}
