"""Turns the pages of the Universal Declaration of Human Rights into JSON lines: udhr.py FOLDER JSONL.

Each paragraph becomes {"language": …, "text": …}; a language is called as its page is. They are the same paragraphs in all
languages, so that what they cost can be compared.
"""

import html.parser
import json
import pathlib
import sys


class Paragraphs(html.parser.HTMLParser):
    """Collects the text of each paragraph."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "p":
            self.found.append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag == "p":
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


folder = pathlib.Path(sys.argv[1])
with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as lines:
    for page in sorted(folder.glob("*.html")):
        parser = Paragraphs()
        parser.feed(page.read_text(encoding="utf-8"))
        for paragraph in parser.found:
            text = " ".join(paragraph.split())
            if text:
                record = {"language": page.stem, "text": text}
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
