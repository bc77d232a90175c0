//! End-to-end encryption: who holds the keys of a meeting, and what is sealed with them. Sans-IO; native and wasm.
