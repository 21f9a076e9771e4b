"""Unpacks the members of an archive that start with a prefix: unpack.py ARCHIVE PREFIX FOLDER."""

import sys
import tarfile
import zipfile

archive, prefix, folder = sys.argv[1:]
if zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as members:
        names = [name for name in members.namelist() if name.startswith(prefix)]
        members.extractall(folder, names)
else:
    with tarfile.open(archive) as members:
        names = [member for member in members.getmembers() if member.name.startswith(prefix)]
        # The filter that refuses absolute paths and devices came with Python 3.12 and its back-ports.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        members.extractall(folder, names, **safe)
if not names:
    sys.exit(f"{archive} has no member {prefix}")
