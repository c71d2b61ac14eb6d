//! Entry point of `cargo xtask`; everything is in the library, so that the `tests` crate can use the image builder.

fn main() -> std::process::ExitCode {
    xtask::main()
}
