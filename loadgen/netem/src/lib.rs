//! A link that delays, loses, reorders and repeats datagrams, without I/O and from a seed.
