//! The real `eventgen`: recorded cases of the original, signals and exit codes, the examples.

mod capture;
mod case;
mod compare;
mod ends;
mod examples;
mod golden;
mod loggregator;
mod plugins;
mod process;
mod table;
