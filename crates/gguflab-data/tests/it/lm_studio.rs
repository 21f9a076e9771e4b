//! Models in LM Studio's folder.

use crate::Home;

#[test]
fn a_repository_a_file_or_a_quantisation_names_a_model() {
    let home = Home::with(&[
        "lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q4_K_M.gguf",
        "lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q8_0.gguf",
        "lmstudio/google/gemma/gemma-Q4_0.gguf",
        "lmstudio/google/gemma/mmproj-gemma-f16.gguf",
        "lmstudio/big/split/s-00001-of-00002.gguf",
        "lmstudio/big/split/s-00002-of-00002.gguf",
        "lmstudio/big/nested/Q8_0/n.gguf",
        "lmstudio/mlx/only/model.safetensors",
        "lmstudio/loose.gguf",
    ]);
    home.check(&[
        ("lmstudio:google/gemma", "LM Studio lmstudio/google/gemma/gemma-Q4_0.gguf"),
        ("google/gemma", "LM Studio lmstudio/google/gemma/gemma-Q4_0.gguf"),
        ("lmstudio:Google/GEMMA", "LM Studio lmstudio/google/gemma/gemma-Q4_0.gguf"),
        ("lmstudio:qwen/Qwen2.5-0.5B-GGUF:q4_k_m", "LM Studio lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q4_K_M.gguf"),
        ("qwen/Qwen2.5-0.5B-GGUF:Q8", "LM Studio lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q8_0.gguf"),
        ("qwen/Qwen2.5-0.5B-GGUF/q-Q8_0.gguf", "LM Studio lmstudio/qwen/Qwen2.5-0.5B-GGUF/q-Q8_0.gguf"),
        ("big/split", "LM Studio lmstudio/big/split/s-00001-of-00002.gguf"),
        ("big/nested", "LM Studio lmstudio/big/nested/Q8_0/n.gguf"),
        ("big/nested/Q8_0/n.gguf", "LM Studio lmstudio/big/nested/Q8_0/n.gguf"),
        (
            "lmstudio:qwen/Qwen2.5-0.5B-GGUF",
            "error: several models; say which:\n  q-Q4_K_M.gguf\n  q-Q8_0.gguf",
        ),
        ("lmstudio:qwen/Qwen2.5-0.5B-GGUF:Q6_K", "error: has no model `Q6_K`"),
        ("lmstudio:mlx/only", "error: lmstudio:mlx/only has no .gguf file"),
        ("lmstudio:nobody/nothing", "error: LM Studio's models in ~/lmstudio"),
        ("lmstudio:alone", "error: in LM Studio it is PUBLISHER/REPO"),
        ("lmstudio:a/b/c.gguf:Q4", "error: in LM Studio it is PUBLISHER/REPO"),
        ("lmstudio:../../etc", "error: in LM Studio it is PUBLISHER/REPO"),
        ("lmstudio:google/..", "error: in LM Studio it is PUBLISHER/REPO"),
    ]);
    assert_eq!(
        home.list(),
        [
            "lmstudio:big/nested/Q8_0/n.gguf 13",
            "lmstudio:big/split/s-00001-of-00002.gguf 26",
            "lmstudio:google/gemma/gemma-Q4_0.gguf 13",
            "lmstudio:qwen/Qwen2.5-0.5B-GGUF/q-Q4_K_M.gguf 13",
            "lmstudio:qwen/Qwen2.5-0.5B-GGUF/q-Q8_0.gguf 13",
        ]
    );
}

#[test]
fn a_name_that_two_programs_have_is_ambiguous() {
    let home = Home::with(&["lmstudio/jane/phi/phi.gguf"]);
    let digest = "1".repeat(64);
    home.write(&format!("ollama/blobs/sha256-{digest}"), b"GGUF");
    let layer = format!(
        r#"{{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{digest}","size":4}}"#
    );
    home.write(
        "ollama/manifests/registry.ollama.ai/jane/phi/latest",
        format!(r#"{{"layers":[{layer}]}}"#).as_bytes(),
    );
    home.check(&[
        (
            "jane/phi",
            "error: several models; say which:\n  ollama:jane/phi:latest\n  lmstudio:jane/phi/phi.gguf",
        ),
        ("lmstudio:jane/phi", "LM Studio lmstudio/jane/phi/phi.gguf"),
    ]);
}
