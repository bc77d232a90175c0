//! Sessions over a delivery service of the test.
