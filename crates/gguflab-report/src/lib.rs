//! One document model, every format: terminal, Markdown, CSV, JSON, HTML, SVG.
