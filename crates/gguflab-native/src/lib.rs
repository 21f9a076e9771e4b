//! Everything that needs unsafe: llama.cpp behind a safe API.
