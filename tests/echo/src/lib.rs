//! What the benches of the layers against echo share: rooms, voices, levels, formulas. Not here: any layer.

pub mod room;
pub mod scene;
pub mod speech;
