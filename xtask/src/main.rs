//! `cargo xtask`: what is done to the project rather than by it - install tools, test, tidy, demonstrate, measure.

mod app;
mod bench;
mod clock;
mod demo;
mod fuzz;
mod interrupt;
mod process;
mod program;
mod quantity;
mod scratch;
mod seed;
mod sim;
mod table;
mod test;
mod tidy;
mod tools;
mod workspace;

fn main() -> std::process::ExitCode {
    app::run()
}
