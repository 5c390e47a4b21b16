//! What the benches of the layers against echo share: rooms, voices, levels, formulas, the time of a quantum. Not here: any layer.

pub mod room;
pub mod scene;
pub mod speech;
pub mod speed;
