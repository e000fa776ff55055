//! What racewayctl and control say to each other: one JSON line each way over `RUN_DIR/admin.sock`.

pub mod call;
pub mod protocol;
pub mod server;
pub mod view;
