//! Spaces, samplers, races and stopping rules. Pure given a seed.
