//! Models in Ollama's store.

use sha2::{Digest, Sha256};

use crate::Home;

/// Puts a blob into the store and gives its digest.
fn blob(home: &Home, contents: &[u8]) -> String {
    let hex: String = Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect();
    home.write(&format!("ollama/blobs/sha256-{hex}"), contents);
    format!("sha256:{hex}")
}

fn layer(kind: &str, digest: &str, bytes: usize) -> String {
    format!(r#"{{"mediaType":"application/vnd.ollama.image.{kind}","digest":"{digest}","size":{bytes}}}"#)
}

fn manifest(layers: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"config":{{}},"layers":[{}]}}"#, layers.join(","))
}

/// A model with these contents, listed at `path` below the store.
fn model(home: &Home, path: &str, contents: &[u8]) -> String {
    let digest = blob(home, contents);
    let layers = [layer("license", &blob(home, b"free"), 4), layer("model", &digest, contents.len())];
    home.write(&format!("ollama/{path}"), manifest(&layers).as_bytes());
    format!("Ollama ollama/blobs/{}", digest.replace(':', "-"))
}

#[test]
fn both_layouts_and_all_forms_of_a_name() {
    let home = Home::new();
    let public = "manifests/registry.ollama.ai";
    let small = model(&home, &format!("{public}/library/llama3.2/1b"), b"GGUF small");
    let latest = model(&home, &format!("{public}/library/llama3.2/latest"), b"GGUF latest!");
    let user = model(&home, &format!("{public}/jane/Mixtral/latest"), b"GGUF of jane");
    let other = model(&home, "manifests/hf.co/bartowski/Qwen-GGUF/Q4_K_M", b"GGUF elsewhere");
    model(&home, &format!("{public}/library/both/latest"), b"GGUF older layout");
    let both = model(&home, "manifests-v2/ollama.com/library/both/latest", b"GGUF newer layout");
    let port = model(&home, "manifests-v2/10.0.0.1%3A5000/team/own/v1", b"GGUF with a port");
    model(&home, &format!("{public}/library/llamacpp/{}", "a".repeat(64)), b"GGUF shadow");
    model(&home, &format!("{public}/library/both/.manifest-123"), b"GGUF being written");
    home.check(&[
        ("ollama:llama3.2", &latest),
        ("ollama:llama3.2:1b", &small),
        ("ollama:LLAMA3.2:1B", &small),
        ("ollama:library/llama3.2:1b", &small),
        ("ollama:registry.ollama.ai/library/llama3.2:1b", &small),
        ("ollama:ollama.com/library/llama3.2:1b", &small),
        ("ollama:jane/mixtral", &user),
        ("ollama:hf.co/bartowski/Qwen-GGUF:Q4_K_M", &other),
        ("ollama:both", &both),
        ("ollama:10.0.0.1:5000/team/own:v1", &port),
        ("llama3.2", &latest),
        ("llama3.2:1b", &small),
        ("jane/mixtral:latest", &user),
        ("ollama:llama3.2:3b", "error: no model `ollama:llama3.2:3b` on this machine"),
        ("ollama:../../etc/passwd", "error: in Ollama it is NAME"),
        ("ollama:a/b/c/d", "error: in Ollama it is NAME"),
        ("ollama:", "error: in Ollama it is NAME"),
        ("ollama:x:", "error: in Ollama it is NAME"),
    ]);
    assert_eq!(
        home.list(),
        [
            "ollama:10.0.0.1:5000/team/own:v1 16",
            "ollama:both:latest 17",
            "ollama:hf.co/bartowski/Qwen-GGUF:Q4_K_M 14",
            "ollama:jane/Mixtral:latest 12",
            "ollama:llama3.2:1b 10",
            "ollama:llama3.2:latest 12",
        ]
    );
}

#[test]
fn a_path_is_preferred_to_a_name() {
    let home = Home::with(&["here/tiny"]);
    model(&home, "manifests-v2/ollama.com/library/tiny/latest", b"GGUF in the store");
    home.check(&[("tiny", "file here/tiny")]);
}

#[test]
fn a_list_of_builds_gives_the_one_for_llama_cpp() {
    let home = Home::new();
    let build = |contents: &[u8]| {
        blob(&home, manifest(&[layer("model", &blob(&home, contents), contents.len())]).as_bytes())
    };
    let child = |runner: &str, digest: &str| format!(r#"{{"digest":"{digest}","runner":"{runner}"}}"#);
    let (own, original) = (build(b"GGUF for llama.cpp"), build(b"GGUF original"));
    let list = |name: &str, children: &[String]| {
        let text = format!(r#"{{"layers":null,"manifests":[{}]}}"#, children.join(","));
        home.write(&format!("ollama/manifests-v2/ollama.com/library/{name}/latest"), text.as_bytes());
    };
    list("all", &[child("mlx", &original), child("ggml", &original), child("llamacpp", &own)]);
    list("old", &[child("mlx", &own), child("ggml", &original)]);
    list("mac", &[child("mlx", &own)]);
    list("odd", &[r#"{"runner":"llamacpp"}"#.to_owned()]);
    let file = |contents: &[u8]| format!("Ollama ollama/blobs/{}", blob(&home, contents).replace(':', "-"));
    home.check(&[
        ("ollama:all", &file(b"GGUF for llama.cpp")),
        ("ollama:old", &file(b"GGUF original")),
        ("ollama:mac", "error: lists only builds for other engines"),
        ("ollama:odd", "error: lists a build without its digest"),
    ]);
}

#[test]
fn what_cannot_be_used_is_said() {
    let home = Home::new();
    let list = |name: &str, layers: &[String]| {
        home.write(
            &format!("ollama/manifests/registry.ollama.ai/library/{name}/latest"),
            manifest(layers).as_bytes(),
        );
    };
    let of = |contents: &[u8]| layer("model", &blob(&home, contents), contents.len());
    list("gone", &[layer("model", &format!("sha256:{}", "0".repeat(64)), 9)]);
    list("short", &[layer("model", &blob(&home, b"GGUF cut"), 900)]);
    list("tensors", &[of(b"\x40\0\0\0\0\0\0\0{\"a\"")]);
    list("torch", &[of(b"PK\x03\x04 archive")]);
    list("ggml", &[of(b"tjgg\x03\0\0\0 old")]);
    list("void", &[of(b"")]);
    list("odd", &[of(b"something else")]);
    list("cloud", &[]);
    list("parts", &[of(b"GGUF 1"), of(b"GGUF 2")]);
    list("outside", &[layer("model", "sha256:../../../../etc/passwd", 9)]);
    let manifests = "ollama/manifests/registry.ollama.ai/library";
    home.write(&format!("{manifests}/garbage/latest"), b"{\"layers\": 7}");
    home.write(&format!("{manifests}/huge/latest"), &vec![b' '; (1 << 20) + 1]);
    home.write(&format!("{manifests}/nested/latest"), "[".repeat(100_000).as_bytes());
    home.check(&[
        ("ollama:gone", "error: Ollama's model `gone:latest`: its file ~/ollama/blobs/sha256-0000"),
        ("ollama:gone", "error: cannot be found"),
        ("ollama:short", "error: has 8 bytes instead of 900; pull the model again"),
        ("ollama:tensors", "error: is a safetensors file, not GGUF"),
        ("ollama:torch", "error: is a PyTorch archive, not GGUF"),
        ("ollama:ggml", "error: is an old GGML file, not GGUF"),
        ("ollama:void", "error: is empty, not GGUF"),
        ("ollama:odd", "error: is of another format, not GGUF"),
        ("ollama:cloud", "error: names no GGUF file; a cloud or safetensors model"),
        ("ollama:parts", "error: names several model files"),
        ("ollama:outside", "error: names a file by something else than a SHA-256"),
        ("ollama:garbage", "error: library/garbage/latest: it cannot be understood"),
        ("ollama:huge", "error: it is longer than 1048576 bytes"),
        ("ollama:nested", "error: it cannot be understood"),
    ]);
    assert!(home.list().is_empty(), "none of them is usable");
}
