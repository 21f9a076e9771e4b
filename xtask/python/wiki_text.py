"""Turns a JSON object of articles into one text: wiki_text.py ARTICLES_JSON TEXT.

Titles are ordered by their sha256 sum, which mixes the topics and is the same everywhere.
"""

import hashlib
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    articles = json.load(file)
titles = sorted(articles, key=lambda title: hashlib.sha256(title.encode()).hexdigest())
with open(sys.argv[2], "w", encoding="utf-8", newline="\n") as file:
    for title in titles:
        file.write(f" = {title} = \n\n{articles[title]['extract'].strip()}\n\n")
