//! Pure packet logic: parse, classify, police, measure, rewrite.
#![no_std]
