//! Samples to estimates and comparisons. Pure; every formula names its source.
