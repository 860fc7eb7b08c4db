//! Real sockets, real protocols: one module per promise to the user.
