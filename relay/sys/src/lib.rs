//! The only unsafe user-space code: io_uring, shared maps, socket options.
