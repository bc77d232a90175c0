//! `wasm-glue MODULE.wasm FOLDER NAME`: what `wasm-bindgen --target web` does, as a pinned library instead of a program
//! that takes minutes to install. Leaves `NAME.js`, `NAME.d.ts`, `NAME_bg.wasm` and `NAME_bg.wasm.d.ts` in FOLDER.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        eprintln!("wasm-glue MODULE.wasm FOLDER NAME");
        return ExitCode::from(2);
    };
    match write(module, folder, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasm-glue: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// The page always names the module's address itself, hence no default one.
fn write(module: &str, folder: &str, name: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(true)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)?;
    Ok(())
}
