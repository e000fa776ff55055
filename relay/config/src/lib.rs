//! The configuration file: schema, defaults, checks.
