//! The server as its peers see it: real sockets on loopback, a real database file, and a gateway that the test plays at the
//! other end of the in-process link.

mod checks;
mod commands;
mod doors;
mod frames;
mod gateways;
mod handover;
mod harness;
mod pages;
mod rest;
mod restart;
mod resume;
mod shared_port;
mod shutdown;
mod tls;
mod visitors;
