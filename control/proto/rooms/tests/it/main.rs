//! What a token grants, and what becomes of rooms.

mod corpus;
mod rooms;
mod tokens;
