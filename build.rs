//! Tells whether the activations that `foveate bench` runs on lie beside the source: a published package goes without them.

fn main() {
    const ACTIVATIONS: &str = "benches/assets/minilm-moby-qkv.safetensors";
    println!("cargo::rustc-check-cfg=cfg(has_activations)");
    println!("cargo::rerun-if-changed={ACTIVATIONS}");
    if std::path::Path::new(ACTIVATIONS).exists() {
        println!("cargo::rustc-cfg=has_activations");
    }
}
