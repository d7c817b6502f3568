"""The six novels of Debian's package r-cran-janeaustenr as text files.

    apt-get download r-cran-janeaustenr && dpkg-deb -x r-cran-janeaustenr_*.deb novels
    pip install rdata==1.1.0
    python examples/janeausten_text.py novels/usr/lib/R/site-library/janeaustenr/data -o text

The text is in the public domain. R keeps it in two files: Rdata.rdx says where in Rdata.rdb each
novel is, as a vector of lines in R's own serialisation, compressed.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import Any

import rdata


def read_novels(folder: Path) -> dict[str, str]:
    """By name, from the folder that holds Rdata.rdx and Rdata.rdb."""
    places = _converted((folder / "Rdata.rdx").read_bytes())["variables"]
    stored = (folder / "Rdata.rdb").read_bytes()
    novels = {}
    for name, (offset, length) in places.items():
        packed = stored[offset + 4 : offset + length]  # after four bytes with the unpacked size
        novels[str(name)] = "\n".join(_converted(zlib.decompress(packed))) + "\n"
    return novels


def _converted(serialised: bytes) -> Any:
    return rdata.conversion.convert(rdata.parser.parse_data(serialised, extension=".rds"))


def main() -> None:
    parser = argparse.ArgumentParser(description="The novels of r-cran-janeaustenr as text files.")
    parser.add_argument("folder", type=Path, help="The package's folder with Rdata.rdx.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="Where the files go.")
    options = parser.parse_args()
    if not (options.folder / "Rdata.rdx").is_file():
        parser.error(f"{options.folder} has no Rdata.rdx: name the folder data of the package.")
    options.output.mkdir(parents=True, exist_ok=True)
    for name, text in sorted(read_novels(options.folder).items()):
        (options.output / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}.txt: {len(text):,} characters")


if __name__ == "__main__":
    main()
