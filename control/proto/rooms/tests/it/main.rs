//! What a token grants, what becomes of rooms, and how media is agreed on.

mod connections;
mod corpus;
mod meetings;
mod negotiation;
mod rooms;
mod tokens;
