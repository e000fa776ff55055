//! Pure packet logic: parse, classify, police, measure, rewrite.
