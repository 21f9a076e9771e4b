//! A model of the objective and of what runs at all, learnt from the visits.
//!
//! [`gaussian`] is a Gaussian process over the lattice's [`coordinates`]; [`feasible`] tells how likely a configuration
//! is to run; [`acquire`] weighs both into what is worth a visit. Linear algebra comes from `nalgebra`.

pub(crate) mod acquire;
pub(crate) mod coordinates;
pub(crate) mod evidence;
pub(crate) mod feasible;
pub(crate) mod gaussian;
pub(crate) mod kernel;
