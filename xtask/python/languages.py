"""Turns folders of texts, one for each language, into JSON lines: languages.py FOLDER JSONL.

Each paragraph of prose (at least 200 bytes) becomes {"language": …, "text": …}. The first paragraph of a file may be
what the model that wrote it said to its user, and headings and lists are no prose: all of these are left out.
"""

import json
import pathlib
import re
import sys

SHORTEST = 200

folder = pathlib.Path(sys.argv[1])
with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as lines:
    for source in sorted(folder.glob("*/*.txt")):
        language = source.parent.name
        if len(language) != 3:
            continue
        text = source.read_text(encoding="utf-8-sig")
        for paragraph in re.split(r"\n\s*\n", text)[1:]:
            paragraph = " ".join(paragraph.split())
            if len(paragraph.encode()) >= SHORTEST and paragraph[0] not in "#*-|":
                record = {"language": language, "text": paragraph}
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
