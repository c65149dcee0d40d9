//! The real `eventgen`: recorded cases of the original, signals and exit codes, the examples.

mod capture;
mod case;
mod compare;
mod golden;
mod process;
mod table;
