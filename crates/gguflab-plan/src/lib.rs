//! Memory models: what a configuration needs, and what fits. Pure.
