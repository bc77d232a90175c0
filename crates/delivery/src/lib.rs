//! The delivery service of one room: an ordered log that its members share and that the server cannot read. Sans-IO.
