//! STUN indications on the packet path.
